"""`PYTHONPATH=tests python -m planted`: plant every fault and see whether the tests notice."""

import argparse
import fnmatch
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

from planted import _children, _report
from planted._draw import statements
from planted._fault import Fault
from planted._runner import Runner, remembered

ROOT = Path(__file__).parents[2]
LISTS = (
    "batch_size_cards",
    "bayes",
    "cards",
    "conventions",
    "curvature",
    "data",
    "dont_decay_cards",
    "engine",
    "escape",
    "evidence_cards",
    "loops",
    "mnist_arms",
    "parts",
    "plot",
    "problems",
    "processes",
    "shown",
    "statistics",
    "theory",
    "validity",
)


def listed() -> list[Fault]:
    """All faults."""
    faults = [fault for name in LISTS for fault in importlib.import_module(f"planted.{name}").FAULTS]
    names = [fault.name for fault in faults]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, f"names of faults must be unique, these are not: {twice}"
    return faults


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="planted", description=__doc__)
    parser.add_argument("--only", default="*", help="faults whose name or file fits this pattern")
    parser.add_argument("--list", action="store_true", help="say what there is, plant nothing")
    parser.add_argument("--draw", type=int, metavar="N", help="draw N statements to plant faults in")
    parser.add_argument("--seed", type=int, default=9, help="of the draw")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="at a time")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for the tests of one fault")
    parser.add_argument("--no-baseline", action="store_true", help="believe that all tests pass as it is")
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    parser.add_argument("--out", type=Path, help="write the table here")
    asked = parser.parse_args(arguments)
    if asked.draw:
        _say("\n".join(statements(ROOT / "sde_sgd", asked.draw, asked.seed)))
        return 0
    faults = [f for f in listed() if any(fnmatch.fnmatch(x, asked.only) for x in (f.name, f.file))]
    if asked.list:
        for fault in faults:
            _say(f"{fault.file}: {fault.name}\n    - {fault.old}\n    + {fault.new}\n    {fault.tests}")
        return 0
    memory = ROOT / ".pytest_cache" / "planted.json"
    known = {} if asked.fresh else remembered(memory)
    _children.load()

    def say(line: str) -> None:
        _say(line)
        memory.parent.mkdir(exist_ok=True)
        memory.write_text(json.dumps(known), encoding="utf-8")

    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        runner = Runner(ROOT, Path(folder), jobs=asked.jobs, limit=asked.limit, known=known, say=say)
        passing = None if asked.no_baseline else runner.baseline(faults)
        verdicts = runner.verdicts(faults, passing)
    say(_report.text(faults, verdicts))
    if asked.out:
        asked.out.write_text(_report.markdown(faults, verdicts), encoding="utf-8")
    return 0 if _report.sound(faults, verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
