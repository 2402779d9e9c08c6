"""nearcode beside other tools for finding code, on one machine and one corpus, in one run.

    python -m benchmarks.peers --corpus CORPUS --repos repos.json --annotations FOLDER
    python -m benchmarks.peers --corpus CORPUS --repos repos.json --annotations FOLDER --only nearcode   # keeps the others
    python -m benchmarks.peers --draw                                                # tables and pictures of what is kept

`repos.json` lists repositories (`name`, `root`, `language`) whose checkouts lie below CORPUS; FOLDER/NAME.json holds their
questions (`query`, `relevant` and `secondary` files, maybe with lines). Figures are kept in `--json`; the tables and pictures
of benchmarks/README.md are made from that file. Needs the group `bench` of pyproject.toml, and probe (`python -m
benchmarks.peers.probe`); a tool that is missing is named and left out.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.peers import plots, results, table
from benchmarks.peers.bm25 import Bm25
from benchmarks.peers.corpus import SETS, Subject, load
from benchmarks.peers.measure import Told, measure
from benchmarks.peers.measuring import Failed
from benchmarks.peers.nearcode_cli import Nearcode
from benchmarks.peers.probe import Probe
from benchmarks.peers.ripgrep import Ripgrep
from benchmarks.peers.semble_search import SembleRanking, semble
from benchmarks.peers.tools import Tool

HERE = Path(__file__).resolve().parents[1]
TOOLS = ("nearcode", "semble", "semble-bm25", "bm25", "probe", "ripgrep")


def chosen(arguments: argparse.Namespace, kept: Path) -> dict[str, Tool]:
    """The tools asked for. One that cannot run is named with what it needs; exits if it was asked for by name."""
    only = arguments.only.split(",") if arguments.only else list(TOOLS)
    if unknown := set(only) - set(TOOLS):
        raise SystemExit(f"--only {', '.join(sorted(unknown))}: the tools are {', '.join(TOOLS)}")
    tools: dict[str, Tool] = {}
    for key in only:
        tool = made(key, arguments, kept)
        need = Bm25().missing() if tool is None else tool.missing()
        if tool and not need:
            tools[key] = tool
        elif arguments.only:
            raise SystemExit(f"{key} is not here: {need}")
        else:
            print(f"without {key}, which is not here: {need}", file=sys.stderr)
    return tools


def made(key: str, arguments: argparse.Namespace, kept: Path) -> Tool | None:
    """A tool by its key, None if its library is not here."""
    if key == "semble":
        return None if Bm25().missing() else semble(arguments.semble_model, kept)
    simple: dict[str, type[Ripgrep] | type[Probe] | type[Bm25]] = {
        "ripgrep": Ripgrep, "probe": Probe, "bm25": Bm25, "semble-bm25": SembleRanking,
    }  # fmt: skip
    return simple[key]() if key in simple else Nearcode(arguments.nearcode)


class Progress:
    """One line that is written over on a terminal; elsewhere only what is finished."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def now(self, line: str, text: str) -> None:
        if self._live:
            print(f"\r\033[K{line}{text}", end="", file=sys.stderr, flush=True)

    def done(self, text: str) -> None:
        print(f"\r\033[K{text}" if self._live else text, file=sys.stderr, flush=True)


def run(arguments: argparse.Namespace, tools: dict[str, Tool]) -> None:
    """Measures every tool on a repository before the next one, so that what disturbs the machine disturbs them alike."""
    kept, progress, began = results.read(arguments.json), Progress(), time.monotonic()
    machine = results.machine()
    for key, tool in tools.items():
        before = kept[key].sets if key in kept else {}
        stay = {name: rows for name, rows in before.items() if arguments.resume or name not in arguments.sets.split(",")}
        kept[key] = results.Measured(tool.name, results.today(), machine, stay)
    for name in arguments.sets.split(","):
        subjects = load(arguments.corpus, arguments.repos, arguments.annotations, name == "whole", arguments.repositories)
        for number, subject in enumerate(subjects, 1):
            for key, tool in tools.items():
                rows = kept[key].sets.setdefault(name, {})
                if subject.key in rows:
                    continue
                line = f"{name} {number}/{len(subjects)}  {subject.name:<18} {key:<12}"
                row = rows[subject.key] = one(tool, subject, arguments.processes, partial(progress.now, line))
                results.write(arguments.json, kept)
                progress.done(f"{line}{described(row)}  {time.monotonic() - began:5.0f} s")


def one(tool: Tool, subject: Subject, processes: int, tell: Told) -> results.Row:
    with tempfile.TemporaryDirectory() as home:
        try:
            return measure(tool, subject, Path(home), processes, tell)
        except Failed as error:
            raise SystemExit(f"\n{tool.name} on {subject.name}: {error}\n--resume goes on from here") from error


def described(row: results.Row) -> str:
    told = results.summary([row])
    index = f"index {told.index_seconds:6.1f} s" if told.index_seconds is not None else " " * 14
    asked = told.warm or told.process or (0.0, 0.0)
    return f"ndcg {told.ndcg:.3f}  {index}  p50 {asked[0]:7.1f} ms  {told.query_memory:5.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--repos", type=Path)
    parser.add_argument("--annotations", type=Path)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "peers.json", help="where figures are kept")
    parser.add_argument("--sets", default="roots,whole", help="roots: benchmark roots; whole: whole repositories")
    parser.add_argument("--only", default="", metavar="TOOL,...", help=f"of {', '.join(TOOLS)}; the others' figures stay")
    parser.add_argument("--repositories", nargs="*", default=[], metavar="NAME", help="some of the corpus, to try it")
    parser.add_argument("--processes", type=int, default=3, help="questions asked with a process each where a tool can stay")
    parser.add_argument("--resume", action="store_true", help="measure only what --json lacks")
    parser.add_argument("--nearcode", default="", help="path of the program; default: this environment's")
    parser.add_argument("--semble-model", default="", help="name or folder of semble's vectors; default: its own")
    parser.add_argument("--draw", action="store_true", help="measure nothing: tables and pictures of what is kept")
    parser.add_argument("--readme", type=Path, default=HERE / "README.md", help="the document whose tables are replaced")
    arguments = parser.parse_args()
    if unknown := set(arguments.sets.split(",")) - set(SETS):
        parser.error(f"--sets {', '.join(sorted(unknown))}: the sets are {', '.join(SETS)}")
    try:
        table.replaced(arguments.readme.read_text("utf-8"), "")
    except (OSError, ValueError) as error:  # told now and not after an hour of measuring
        parser.error(f"--readme: {error}")
    if not arguments.draw:
        if not (arguments.corpus and arguments.repos and arguments.annotations):
            parser.error("--corpus, --repos and --annotations are needed, or --draw")
        with tempfile.TemporaryDirectory() as kept:
            run(arguments, chosen(arguments, Path(kept)))
    measured = results.read(arguments.json)
    if not measured:
        raise SystemExit(f"{arguments.json} holds nothing yet: run without --draw first")
    ordered = {key: measured[key] for key in TOOLS if key in measured}
    table.write(arguments.readme, ordered)
    pictures = plots.draw(ordered, arguments.readme.parent)
    print(table.section(ordered))
    print("written:", arguments.readme, *pictures)


if __name__ == "__main__":
    main()
