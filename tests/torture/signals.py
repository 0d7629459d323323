"""SIGTERM and SIGINT at every stage of a run with checkpoints."""

import signal
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from torture import _forked, _jobs
from torture._row import Row

SIGNALS = 100
STAGES = ("compile", "warm-up", "block", "write", "last save")
# what the process did with the signal before
MANNERS = ("default", "default", "ignored", "own handler")
LAST = "write 800"


def rows(amount: float, seed: int) -> list[Row]:
    """Each ends by the signal, with all saved, and can be resumed; ignored signals stay ignored."""
    count = max(len(STAGES), round(SIGNALS * amount))
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        found = {stage: Row(f"SIGTERM or SIGINT to a `run`: {stage}") for stage in STAGES}
        whole = _forked.Forked(
            partial(_forked.run, "langevin", None, base / "out.npz", base / "cache"), base / "log"
        )
        assert whole.end() == 0, whole.words()
        begin = partial(_begin, base, seed, whole.blocks())
        for number, outcome, failure in _jobs.spread(count, begin):
            found[STAGES[number % len(STAGES)]].note(outcome, failure)
    return list(found.values())


def _begin(base: Path, seed: int, blocks: int) -> Callable[[int], tuple[str, str | None]]:
    expected = _forked.load(base / "out.npz")

    def trial(number: int) -> tuple[str, str | None]:
        rng = np.random.default_rng([seed, number])
        stage, manner = STAGES[number % len(STAGES)], MANNERS[int(rng.integers(len(MANNERS)))]
        sent = signal.SIGTERM if rng.random() < 0.5 else signal.SIGINT
        where = base / f"trial-{number}"
        where.mkdir()
        told = f"seed {seed}, trial {number}, {sent.name} at {stage}, {manner}"
        cache = where / "cache" if stage == "compile" else base / "cache"
        child = _forked.Forked(partial(_child, sent, manner, where, cache), where / "log")
        _strike(child, stage, sent, rng)
        status = child.end()
        text = (where / "log").read_text(errors="replace")
        # the last save may be over before the signal is there: then it is not the run's any more
        wrong = _judge(sent, manner, status, text, where, late=stage == "last save")
        if wrong is not None:
            return "failed", f"{told}: {wrong}"
        again = _forked.Forked(
            partial(_forked.run, "langevin", where / "run", where / "again.npz", base / "cache"),
            where / "log",
        )
        if again.end() != 0:
            return "failed", f"{told}: not resumed: {again.words()}"
        wrong = _forked.differing(expected, _forked.load(where / "again.npz"))
        if wrong is not None:
            return "failed", f"{told}: {wrong}"
        if again.blocks() > blocks - child.kept():
            return "failed", f"{told}: {again.blocks()} blocks computed though {child.kept()} were saved"
        ended = "went on to the end" if status == 0 else "saved, ended by the signal"
        return f"{ended} ({manner})", None

    return trial


def _strike(child: _forked.Forked, stage: str, sent: int, rng: np.random.Generator) -> None:
    if stage == "compile":
        child.wait_for("compile")
        time.sleep(rng.uniform(0, 0.5))
    elif stage == "warm-up":
        child.wait_for("read")
    elif stage == "last save":
        child.wait_for(LAST)
    else:
        for _ in range(int(rng.integers(1, 7))):
            child.wait_for(stage)
        time.sleep(rng.uniform(0, 0.02))
    child.signal(sent)


def _judge(sent: int, manner: str, status: int, text: str, where: Path, *, late: bool) -> str | None:
    """What is wrong with the end of a run that got a signal."""
    said = "interrupted" in text
    heard = (where / "heard").exists()
    if manner == "ignored":
        return (
            None if status == 0 and not said else f"ended with {status}, though it was ignored: {text[-300:]}"
        )
    if manner == "own handler":
        # it lets the signal pass: then a run that was cut short ends with KeyboardInterrupt
        fine = heard and status in (0, -signal.SIGINT)
        return None if fine else f"own handler called: {heard}, ended with {status}: {text[-300:]}"
    if status == -sent and (said or late):
        return None
    return f"ended with {status}, not {-sent}; a word was said: {said}: {text[-300:]}"


def _child(sent: int, manner: str, where: Path, cache: Path, say: _forked.Say) -> None:
    if manner == "ignored":
        signal.signal(sent, signal.SIG_IGN)
    elif manner == "own handler":
        signal.signal(sent, lambda *_: (where / "heard").touch())
    _forked.run("langevin", where / "run", where / "out.npz", cache, say)
