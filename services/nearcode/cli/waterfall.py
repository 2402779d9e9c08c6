"""The latency budget of one answer, a line a stage."""

from collections.abc import Sequence

from nearcode.domain.budget import StageReport

WIDTH = 36


def waterfall(stages: Sequence[StageReport], deadline_ms: float) -> list[str]:
    """Name, allotted, spent and carried milliseconds, and a bar from where the stage began; the scale is what was spent.

    A stage of a stage is indented.
    """
    if not stages:
        return []
    ordered = sorted(stages, key=lambda stage: (stage.start_ms, -stage.spent_ms))
    labels = [f"{'  ' * _depth(stage, ordered[:number])}{stage.name}" for number, stage in enumerate(ordered)]
    total = max(_end(stage) for stage in ordered) or 1.0
    names = max(5, *map(len, labels))
    head = f"{'stage':<{names}} {'allotted':>10} {'spent':>10} {'carried':>10}  {total:.0f} of {deadline_ms:.0f} ms"
    return [head, *(_row(stage, f"{label:<{names}}", total) for stage, label in zip(ordered, labels, strict=True))]


def _end(stage: StageReport) -> float:
    return stage.start_ms + stage.spent_ms


def _depth(stage: StageReport, earlier: Sequence[StageReport]) -> int:
    return sum(_end(stage) < _end(other) and stage.start_ms > other.start_ms for other in earlier)


def _row(stage: StageReport, label: str, total: float) -> str:
    begin = min(WIDTH - 1, int(stage.start_ms / total * WIDTH))
    length = max(1, min(WIDTH - begin, round(stage.spent_ms / total * WIDTH)))
    bar = f"{'':{begin}}{('-' if stage.skipped else '#') * length}"
    figures = " ".join(f"{value:>7.1f} ms" for value in (stage.allotted_ms, stage.spent_ms, stage.carried_ms))
    return f"{label} {figures}  |{bar:<{WIDTH}}|{' skipped' if stage.skipped else ''}"
