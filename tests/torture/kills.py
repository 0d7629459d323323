"""Runs and sweeps that are killed at random moments, and resumed."""

import signal
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from torture import _forked, _jobs
from torture._row import Row

KILLS = 200
NAMES = ("chunked", "sweep")
# when the blow falls: at any time, while a checkpoint is written, while one is read
MOMENTS = ("any", "write", "read")


def rows(amount: float, seed: int) -> list[Row]:
    """Every trial: one kill or two in a row, then the run goes to its end.

    It must not compute again what was saved, and have the same bits.
    """
    count = max(len(NAMES), round(KILLS * amount))
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        found = [
            Row("a `run` killed by SIGKILL, then resumed"),
            Row("a `sweep` killed by SIGKILL, then resumed"),
        ]
        blocks = {}
        for name in NAMES:
            whole = _forked.Forked(
                partial(_forked.run, name, None, base / f"{name}.npz", base / "cache"), base / "log"
            )
            assert whole.end() == 0, whole.words()
            blocks[name] = whole.blocks()
        for number, outcome, failure in _jobs.spread(count, partial(_begin, base, seed, blocks)):
            found[number % len(NAMES)].note(outcome, failure)
    return found


def _begin(base: Path, seed: int, blocks: dict[str, int]) -> Callable[[int], tuple[str, str | None]]:
    expected = {name: _forked.load(base / f"{name}.npz") for name in NAMES}

    def trial(number: int) -> tuple[str, str | None]:
        name, rng = NAMES[number % len(NAMES)], np.random.default_rng([seed, number])
        where = base / f"trial-{number}"
        where.mkdir()
        told = f"seed {seed}, trial {number}"
        moments = [MOMENTS[number // len(NAMES) % len(MOMENTS)]]
        if rng.random() < 0.3:
            moments.append("any" if rng.random() < 0.5 else "write")
        if moments[0] == "read":  # there must be something to read
            moments.insert(0, "write")
        killed, kept = [], 0
        for moment in moments:
            child = _forked.Forked(
                partial(_forked.run, name, where / "run", None, base / "cache"), where / "log"
            )
            status = _kill(child, moment, rng)
            kept += child.kept()
            if status not in (0, -signal.SIGKILL):
                return "failed", f"{told}: ended with {status} before the kill: {_tail(where)}"
            killed += [moment] if status else []
        last = _forked.Forked(
            partial(_forked.run, name, where / "run", where / "out.npz", base / "cache"), where / "log"
        )
        if last.end() != 0:
            return "failed", f"{told}: not resumed: {last.words()}"
        wrong = _forked.differing(expected[name], _forked.load(where / "out.npz"))
        if wrong is not None:
            return "failed", f"{told}: {wrong}"
        if last.blocks() > blocks[name] - kept:
            again = f"{last.blocks()} blocks of {blocks[name]} computed though {kept} were saved"
            return "failed", f"{told}: {again}"
        went_on = "went on to the same bits" if kept else "nothing was saved yet: from the start, same bits"
        return f"{went_on} ({_words(killed)})", None

    return trial


def _kill(child: _forked.Forked, moment: str, rng: np.random.Generator) -> int:
    if moment == "any":
        child.wait_for("start")
        time.sleep(rng.uniform(0, 2.5))
    else:
        for _ in range(1 if moment == "read" else int(rng.integers(1, 12))):
            child.wait_for(moment)
        time.sleep(rng.uniform(0, 0.03))  # about as long as it takes
    child.signal(signal.SIGKILL)
    return child.end()


def _words(killed: list[str]) -> str:
    names = {"any": "at any time", "write": "while writing", "read": "while reading"}
    return ", then ".join(names[moment] for moment in killed) or "was through before"


def _tail(where: Path) -> str:
    return " / ".join((where / "log").read_text(errors="replace").strip().splitlines()[-3:])
