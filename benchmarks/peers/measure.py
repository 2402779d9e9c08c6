"""One tool on one repository: index, disk, a process a question, and the tool kept in memory."""

from collections.abc import Callable
from pathlib import Path

from nearcode.domain.retrieval import Snippet

from benchmarks import scoring
from benchmarks.peers.corpus import Subject
from benchmarks.peers.measuring import EVERY, Watch, on_disk, run
from benchmarks.peers.results import Row
from benchmarks.peers.tools import Tool

WARM_UP = ("warm up", "load everything that is needed", "third question before the clock starts")
"""Asked of a tool that stays in memory before anything is timed."""
SHORT = 0.002
"""Seconds between two looks at a process that lives for tens of milliseconds; its time is not counted then."""
WATCHED = 3
"""Questions asked once more, to see the memory of such processes."""

Told = Callable[[str], None]


def measure(tool: Tool, subject: Subject, home: Path, processes: int, tell: Told) -> Row:
    """Index seconds are wall time of a process that indexes from nothing. At most `processes` questions, spread evenly, are
    asked with a process each of a tool that can also stay in memory; of the others every question. Raises Failed."""
    env, folder = tool.env(home), subject.folder
    index_seconds = index_memory = disk = None
    if command := tool.index(folder, home):
        tell("indexing")
        indexed = run(command, folder, env, tool.good, EVERY)
        index_seconds, index_memory, disk = round(indexed.seconds, 3), round(indexed.peak, 1), round(on_disk(home), 2)
    asked = [question["query"] for question in subject.questions]
    serving = tool.serving(folder, home)
    if serving is None:
        answers, times = _each(tool, subject, home, asked, tell)
        memory = max(_watched(tool, subject, home, question) for question in spread(asked, WATCHED))
        warm: list[float] = []
    else:
        _, times = _each(tool, subject, home, spread(asked, processes), tell)
        answers, warm = [], []
        with serving as served:
            for question in WARM_UP:
                served.session.ask(question)
            tell(f"{len(asked)} questions")
            for question in asked:
                took, answer = served.session.ask(question)
                warm.append(took)
                answers.append(tool.results(answer, question))
            memory = Watch(served.pids).stop()
    ndcg, hit = scores(subject, answers)
    return Row(
        subject.language, ndcg, hit, index_seconds, index_memory, round(memory, 1), disk, _rounded(times), _rounded(warm)
    )


def _each(tool: Tool, subject: Subject, home: Path, asked: list[str], tell: Told) -> tuple[list[list[Snippet]], list[float]]:
    answers, times = [], []
    for number, question in enumerate(asked, 1):
        tell(f"process {number} of {len(asked)}")
        ran = run(tool.once(subject.folder, home, question), subject.folder, tool.env(home), tool.good)
        times.append(ran.seconds * 1e3)
        answers.append(tool.results(ran.output, question))
    return answers, times


def _watched(tool: Tool, subject: Subject, home: Path, question: str) -> float:
    return run(tool.once(subject.folder, home, question), subject.folder, tool.env(home), tool.good, SHORT).peak


def spread(asked: list[str], count: int) -> list[str]:
    """At most `count` of them, evenly spread."""
    return asked if len(asked) <= count else [asked[at * len(asked) // count] for at in range(count)]


def scores(subject: Subject, answers: list[list[Snippet]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """nDCG@10 of each question, and whether one of its answers is among the first ten."""
    ndcg, hit = [], []
    for question, snippets in zip(subject.questions, answers, strict=True):
        targets = scoring.targets(question)
        ndcg.append(round(scoring.ndcg(snippets, targets), 4))
        hit.append(float(ndcg[-1] > 0))
    return tuple(ndcg), tuple(hit)


def _rounded(times: list[float]) -> tuple[float, ...]:
    return tuple(round(time, 2) for time in times)
