"""Every benchmark, one after the other, on the data that is given; what each prints goes to the screen and to a file.

    make bench BENCH=FOLDER CORPUS=FOLDER            # the same as the next line, after setting up what it needs
    python -m benchmarks.everything BENCH=FOLDER CORPUS=FOLDER [NAME=VALUE ...] [--only peers,precision] [--list]

What may be given:

    BENCH         a retrieval benchmark: repos.json (`name`, `root`, `language`) and annotations/NAME.json
    CORPUS        the checkouts of its repositories, each below its name
    REPOEVAL      a checkout of RepoEval_Exec (benchmarks/completion.py says which)
    LOCALISATION  SWE-bench Lite's tasks, a file (benchmarks/localisation.py says which); with CLONES, bare clones of their code
    OWN           git work trees with their history, separated by spaces: `nearcode eval` questions beside BM25 + ranking
    CODE          a large code base, such as an unpacked Django sdist: speed of the embedded default
    PACKAGES      index.json of public packages (`python -m training.embedder` makes it): the server at scale, out of fold
    DENY          a list of what nothing may be learned from; with PACKAGES, for the out-of-fold table
    WEIGHTS       a folder of a transformer's weights (`nearcode models pull`): what the transformer space adds
    OUT           where output goes; default: .bench

A benchmark whose data is not given is skipped and says what it needs. Ends with 1 if one failed; the others run all the same.
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GIVEN = ("BENCH", "CORPUS", "REPOEVAL", "LOCALISATION", "CLONES", "OWN", "CODE", "PACKAGES", "DENY", "WEIGHTS", "OUT")
CORPUS = "--corpus {CORPUS} --repos {BENCH}/repos.json --annotations {BENCH}/annotations"


@dataclass(frozen=True, slots=True)
class Step:
    """A benchmark: its name, what must be given, and its arguments to `python`, with {NAMES} to fill in."""

    name: str
    needs: tuple[str, ...]
    command: str


RETRIEVAL = ("BENCH", "CORPUS")
LEARNING = ("PACKAGES", "DENY")
STEPS = (
    Step("peers", RETRIEVAL, f"-m benchmarks.peers {CORPUS}"),
    Step("lanes-roots", RETRIEVAL, f"-m benchmarks.lab collect {CORPUS} --home {{OUT}}/roots {{OUT}}/roots.pickle"),
    Step("lanes-whole", RETRIEVAL, f"-m benchmarks.lab collect {CORPUS} --whole --home {{OUT}}/whole {{OUT}}/whole.pickle"),
    Step("lanes-packages", LEARNING, "-m training.ranker.packages --packages {PACKAGES} --deny {DENY} {OUT}/packages.pickle"),
    Step(
        "out-of-fold",
        (*RETRIEVAL, *LEARNING),
        "-m training.ranker --first {OUT}/packages.pickle roots={OUT}/roots.pickle:.5 whole={OUT}/whole.pickle:.5",
    ),
    Step("ablation", RETRIEVAL, "-m benchmarks.ablation roots={OUT}/roots.pickle whole={OUT}/whole.pickle"),
    Step("table", RETRIEVAL, f"-m training.embedder.benchmark {CORPUS}"),
    Step("precision", RETRIEVAL, f"-m benchmarks.precision {CORPUS} --json {{OUT}}/precision.json"),
    Step("completion", ("REPOEVAL",), "-m benchmarks.completion --checkout {REPOEVAL} --json {OUT}/completion.json"),
    Step(
        "localisation",
        ("LOCALISATION", "CLONES"),
        "-m benchmarks.localisation --tasks {LOCALISATION} --clones {CLONES} --json {OUT}/localisation.json",
    ),
    Step("own-code", ("OWN",), "-m benchmarks.own_code {OWN} --json {OUT}/own-code.json"),
    Step("embedded", ("CODE",), "-m benchmarks.embedded {CODE} --json {OUT}/embedded.json"),
    Step("server-scale", ("PACKAGES",), "-m benchmarks.server_scale --packages {PACKAGES} --json {OUT}/server-scale.json"),
    Step("spaces", (*RETRIEVAL, "WEIGHTS"), f"-m benchmarks.spaces {CORPUS} --weights {{WEIGHTS}} --json {{OUT}}/spaces.json"),
    Step("recall", (), "-m benchmarks.recall"),
)


def given(words: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE words as a mapping, without the empty ones; paths that exist are absolute. Exits with what is wrong."""
    told = {"OUT": ".bench"}
    for word in words:
        name, equals, value = word.partition("=")
        if name not in GIVEN or not equals:
            raise SystemExit(f"{word}: give NAME=VALUE, NAME one of {', '.join(GIVEN)}")
        if value:
            told[name] = value
    for name in set(told) - {"OUT", "OWN"}:
        if not Path(told[name]).exists():
            raise SystemExit(f"{name}={told[name]} does not exist")
    if not set(RETRIEVAL) <= set(told):
        raise SystemExit(
            "make bench BENCH=FOLDER CORPUS=FOLDER: BENCH holds repos.json and annotations/, CORPUS the checkouts of its "
            "repositories. More that can be given: python -m benchmarks.everything --help"
        )
    return {name: " ".join(str(Path(one).absolute()) for one in shlex.split(value)) for name, value in told.items()}


def filled(step: Step, told: Mapping[str, str]) -> list[str]:
    """The command of a step, a list of words."""
    return [sys.executable, *(word for part in shlex.split(step.command) for word in _words(part, told))]


def _words(part: str, told: Mapping[str, str]) -> list[str]:
    return told["OWN"].split() if part == "{OWN}" else [part.format(**told)]


def run(step: Step, told: Mapping[str, str]) -> str:
    """Runs a step; its output goes to the screen and to OUT/NAME.txt. Returns how it ended, in a line."""
    if lacks := [name for name in step.needs if name not in told]:
        return f"skipped: give {' and '.join(f'{name}=...' for name in lacks)}"
    command, began = filled(step, told), time.monotonic()
    print(f"\n== {step.name}: {shlex.join(['python', *command[1:]])}", flush=True)
    with (
        (Path(told["OUT"]) / f"{step.name}.txt").open("w", encoding="utf-8") as kept,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            kept.write(line)
    ended = "done" if process.returncode == 0 else f"FAILED with {process.returncode}"
    return f"{ended} in {time.monotonic() - began:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("given", nargs="*", metavar="NAME=VALUE")
    parser.add_argument("--only", default="", metavar="NAME,...", help=f"of {', '.join(step.name for step in STEPS)}")
    parser.add_argument("--list", action="store_true", help="print the commands and run none")
    arguments = parser.parse_args()
    told = given(arguments.given)
    steps = [step for step in STEPS if not arguments.only or step.name in arguments.only.split(",")]
    if not steps:
        parser.error(f"--only {arguments.only}: the benchmarks are {', '.join(step.name for step in STEPS)}")
    if arguments.list:
        for step in steps:
            ready = set(step.needs) <= set(told)
            print(f"{step.name:<15}{shlex.join(filled(step, told)) if ready else 'needs ' + ', '.join(step.needs)}")
        return
    Path(told["OUT"]).mkdir(parents=True, exist_ok=True)
    endings = {step.name: run(step, told) for step in steps}
    print()
    for name, ending in endings.items():
        print(f"{name:<15} {ending}")
    if any(ending.startswith("FAILED") for ending in endings.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
