"""The latency budget of one answer, a line a stage."""

from collections.abc import Sequence

from nearcode.domain.budget import StageReport

WIDTH = 36


def waterfall(stages: Sequence[StageReport], deadline_ms: float) -> list[str]:
    """Name, allotted, spent and carried milliseconds, and a bar from where the stage began; the scale is what was spent."""
    if not stages:
        return []
    ordered = sorted(stages, key=lambda stage: (stage.start_ms, -stage.spent_ms))
    total = max(stage.start_ms + stage.spent_ms for stage in ordered) or 1.0
    names = max(5, *(len(stage.name) for stage in ordered))
    head = f"{'stage':<{names}} {'allotted':>9} {'spent':>9} {'carried':>9}  {total:.0f} of {deadline_ms:.0f} ms"
    return [head, *(_row(stage, names, total) for stage in ordered)]


def _row(stage: StageReport, names: int, total: float) -> str:
    begin = min(WIDTH - 1, int(stage.start_ms / total * WIDTH))
    length = max(1, min(WIDTH - begin, round(stage.spent_ms / total * WIDTH)))
    bar = f"{'':{begin}}{('-' if stage.skipped else '#') * length}"
    figures = " ".join(f"{value:>6.1f} ms" for value in (stage.allotted_ms, stage.spent_ms, stage.carried_ms))
    return f"{stage.name:<{names}} {figures}  |{bar:<{WIDTH}}|{' skipped' if stage.skipped else ''}"
