"""Finds how much an engine can take, and what it does when it gets more. `python -m loadtest --help`."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from loadtest import questions
from loadtest.arrivals import CHAT, COMPLETION, SEARCH, parse_weights
from loadtest.caller import Target
from loadtest.campaign import Campaign, Plan
from loadtest.embedded import copy_of
from loadtest.generator import Job
from loadtest.plot import plot
from loadtest.report import read_commit, save, table

_ROOT = Path(__file__).parents[1]
_RESULTS = Path(__file__).parent / "results"
_QUESTIONS = 500


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m loadtest", description=__doc__)
    where = parser.add_argument_group("what is loaded (default: an engine started for it, on a temporary home)")
    where.add_argument("--repo", type=Path, default=_ROOT / "services", help="code to ask about (default: services/)")
    where.add_argument("--address", help="host:port or unix:PATH of a running engine that has --repo, or --remote, indexed")
    where.add_argument("--remote", help="URL of the repository on that engine (default: that of the folder --repo)")
    where.add_argument("--token-file", type=Path, help="token of the running engine")
    where.add_argument("--ca-file", type=Path, help="certificate of its authority, if it speaks TLS")
    where.add_argument("--no-generate", action="store_true", help="no language model: completions are their context")
    load = parser.add_argument_group("load")
    load.add_argument("--mix", type=parse_weights, default="completion=70,search=20,chat=10", metavar="WEIGHTS")
    load.add_argument("--deadlines", type=parse_weights, default="completion=0.5,search=1,chat=3", metavar="SECONDS")
    load.add_argument("--rate", type=float, help="calls a second that are called the knee, instead of looking for it")
    load.add_argument("--factors", type=float, nargs="+", default=[0.5, 1.0, 2.0, 3.0], help="multiples of the knee")
    load.add_argument("--updates", type=float, default=0.5, help="changes of a file a second, of an own engine's index")
    load.add_argument("--seconds", type=float, help="of each run (default: 20, quick 5)")
    load.add_argument("--probe-seconds", type=float, help="of each run of the search for the knee (default: 6, quick 2.5)")
    load.add_argument("--seed", type=int, default=1)
    load.add_argument("--processes", type=int, default=1, help="of the generator")
    load.add_argument("--modes", nargs="+", choices=("on", "off"), default=["on", "off"], help="admission control")
    parser.add_argument("--quick", action="store_true", help="shorter runs: to see whether it works, not to compare")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder for COMMIT.json and COMMIT.png")
    return parser.parse_args(argv)


async def run(args: argparse.Namespace, folder: Path) -> int:
    mix = args.mix if isinstance(args.mix, dict) else parse_weights(args.mix)
    deadlines = {COMPLETION: 0.5, SEARCH: 1.0, CHAT: 3.0}
    deadlines |= args.deadlines if isinstance(args.deadlines, dict) else parse_weights(args.deadlines)
    code = args.repo.resolve() if args.address else copy_of(args.repo.resolve(), folder)
    asked, places = questions.questions(code, _QUESTIONS, args.seed), questions.places(code, _QUESTIONS, args.seed)
    token = args.token_file.read_text().strip() if args.token_file else ""
    target = Target(args.address or "", token, str(args.ca_file or ""))
    plan = Plan(
        job=Job(target, args.remote or code.as_uri(), asked, places, mix, deadlines),
        factors=args.factors,
        seconds=args.seconds or (5.0 if args.quick else 20.0),
        probe_seconds=args.probe_seconds or (2.5 if args.quick else 6.0),
        updates=0.0 if args.address else args.updates,
        seed=args.seed,
        processes=args.processes,
    )
    campaign = Campaign(plan, folder / "home", code, generate=not args.no_generate, say=lambda text: print(text, flush=True))
    began = time.monotonic()
    result = await (campaign.running(args.rate) if args.address else campaign.embedded(args.modes, args.rate))
    commit = read_commit(_ROOT)
    print(table(result))
    saved = save(result, args.out, commit, time.monotonic() - began, vars(args))
    plot(result, saved.with_suffix(".png"), commit)
    print(f"\n{saved}\n{saved.with_suffix('.png')}")
    return 0 if all(one.valid for one in result.runs) else 1


def main() -> None:
    args = arguments(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="nearcode-load-") as folder:
        sys.exit(asyncio.run(run(args, Path(folder))))


if __name__ == "__main__":
    main()
