"""The command line: `python -m benchmarks.accelerator --out DIR [--minutes M] [--smoke]`."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import sde_sgd as ss
from benchmarks.accelerator import _results
from benchmarks.accelerator._plan import steps
from benchmarks.accelerator._step import Report, Step
from benchmarks.accelerator._watch import Watch, work

_MINUTES = 7.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, say what is found as soon as it is, and keep it in DIR.

    Returns:
        The exit status: 1 if something that was checked is wrong, or a step failed.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    out: Path = options.out
    if out.exists() and not out.is_dir():
        parser.error(f"--out must be a folder, got the file {str(out)!r}.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out must be a folder that can be made, got {str(out)!r}: {error}.")
    if not options.minutes > 0:
        parser.error(f"--minutes must be above 0, got {options.minutes:g}.")
    todo = steps(out)
    names = [step.name for step in todo]
    for name in options.only or ():
        if name not in names:
            parser.error(f"--only must be among {', '.join(names)}, got {name!r}.")
    if options.worker is not None:
        ss.use_cpu(wide_vectors=False)
        chosen = [step for step in todo if step.name in options.worker]
        work(chosen, options.smoke, lambda line: print(line, flush=True))
        return 0
    there = sorted(out.glob(f"*{_results.ENDING}"))
    if there and not options.overwrite:
        parser.error(
            f"--out must be a folder without results, got {str(out)!r}, which holds {there[0].name}; name "
            f"another, or give --overwrite."
        )
    # the device gives the results their name
    todo = [step for step in todo if step.name in (*(options.only or names), "device")]
    command = [sys.executable, "-m", "benchmarks.accelerator", "--out", str(out)]
    command += [*(["--smoke"] if options.smoke else []), "--worker"]
    watch = Watch(command, time.monotonic() + 60 * options.minutes, out / "said.txt", _announce)
    print(f"what libraries say goes to {watch.said}", flush=True)
    reports: list[Report] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the worker is ended too
    stopped = False
    try:
        for report in watch.reports(todo):
            reports.append(report)
            _results.write(out, reports, smoke=options.smoke)
            print(f"{_results.told(report)}\n", flush=True)
    except KeyboardInterrupt:
        stopped = True
    print(f"{'stopped; ' if stopped else ''}{_results.summary(reports)}")
    print(f"results: {_results.path(out, reports)}")
    nothing = not any(report.status == "done" for report in reports)
    return 1 if stopped or nothing or any(report.is_wrong for report in reports) else 0


def _announce(step: Step) -> None:
    print(f"{step.name} … (at most {step.limit:g} s)", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerator",
        description="Measure what is to be known of the device that JAX has, in the order of its worth, "
        "until the time is up. Each result is written as soon as it is there.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for results and figures")
    parser.add_argument(
        "--minutes", type=float, default=_MINUTES, help=f"for everything; default: {_MINUTES:g}"
    )
    parser.add_argument("--only", nargs="+", metavar="STEP", help="these steps; default: all")
    parser.add_argument("--overwrite", action="store_true", help="in place of results that DIR holds")
    parser.add_argument("--smoke", action="store_true", help="everything small, to see that it runs")
    parser.add_argument("--worker", nargs="+", metavar="NAME", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
