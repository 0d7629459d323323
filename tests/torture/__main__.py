"""`PYTHONPATH=tests python -m torture`: run all modules, and write their rows into docs/torture.md.

    --only NAME      only this module (may be given again)
    --amount 0.1     a tenth of the trials
    --seed 3         other trials
    --jobs 4         so many at once
    --out FILE       where the table goes; by default docs/torture.md for all of it, nowhere for a part

It ends with status 1 if anything did not end as documented. Nothing is kept from one time to the next.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from torture import _jobs, _report
from torture._row import Row

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def modules() -> list[str]:
    """All there are."""
    return sorted(path.stem for path in HERE.glob("[a-z]*.py"))


def rows_of(name: str, amount: float, seed: int, jobs: int) -> list[Row]:
    """One module in a process of its own: what one does to JAX or to memory is nothing to the others."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "torture", "--only", name, "--rows", str(out)]
        command += ["--amount", str(amount), "--seed", str(seed), "--jobs", str(jobs)]
        # XLA would say with every program it finds in a cache what the processor is called
        done = subprocess.run(command, check=False, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
        if not out.exists():
            row = Row(name)
            row.note("crashed", f"the module ended with {done.returncode} before it was through")
            return [row]
        return [Row(**row) for row in json.loads(out.read_text())]


def here(name: str, amount: float, seed: int) -> list[Row]:
    """One module in this process."""
    try:
        return list(importlib.import_module(f"torture.{name}").rows(amount, seed))
    except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the table
        traceback.print_exc()
        row = Row(name)
        row.note("crashed", f"the module raised {type(error).__name__}: {error}")
        return [row]


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m torture")
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--only", action="append", default=[], choices=modules())
    parser.add_argument("--amount", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    ask = parser.parse_args()
    chosen = [*ask.modules, *ask.only] or modules()
    _jobs.JOBS = ask.jobs
    if ask.rows is not None:
        rows = here(chosen[0], ask.amount, ask.seed)
        ask.rows.write_text(json.dumps([asdict(row) for row in rows]))
        return 0
    found: dict[str, tuple[list[Row], float]] = {}
    for name in chosen:
        began = time.monotonic()
        found[name] = rows_of(name, ask.amount, ask.seed, ask.jobs), time.monotonic() - began
        for row in found[name][0]:
            sys.stdout.write(_report.line(row))
            sys.stdout.flush()
    out = ask.out or (ROOT / "docs" / "torture.md" if chosen == modules() else None)
    if out is not None:
        out.write_text(_report.page(found, ask.amount, ask.seed), encoding="utf-8")
    return int(any(row.failures for rows, _ in found.values() for row in rows))


if __name__ == "__main__":
    sys.exit(main())
