"""Runs in processes that are forked, so that none has to import JAX anew, and say where they are.

The process that forks must not have used JAX yet: what it has started would not be alive in the child.
"""

import contextlib
import itertools
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import checkpointed_run
import numpy as np
from checkpointed_run import do, everything, fixed_pace

import sde_sgd as ss
from sde_sgd._platform.checkpoints import _checkpoint
from sde_sgd.simulation import _engine, _run, _sweep_job

Say = Callable[[str], None]


class Forked:
    """A child at work, its words and its end.

    Args:
        work: called in the child with a function that says something to the parent.
        log: file for the child's streams.

    Attributes:
        said: its lines so far.
    """

    def __init__(self, work: Callable[[Say], None], log: Path):
        here, there = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(here)
            _live(work, there, log)
        os.close(there)
        self._pipe, self._heard = here, b""
        self.log = log
        self.said: list[str] = []

    def lines(self, seconds: float = 60.0) -> Iterator[str]:
        """What it says, line by line, until it has ended."""
        until = time.monotonic() + seconds
        while True:
            line, found, rest = self._heard.partition(b"\n")
            if found:
                self._heard = rest
                self.said.append(line.decode())
                yield self.said[-1]
                continue
            ready, _, _ = select.select([self._pipe], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                self.signal(signal.SIGKILL)
                raise TimeoutError(f"nothing more was said in {seconds:g} s")
            some = os.read(self._pipe, 65536)
            if not some:
                return
            self._heard += some

    def wait_for(self, beginning: str) -> bool:
        """Whether a line that begins so has come before the end."""
        return any(line.startswith(beginning) for line in self.lines())

    def blocks(self) -> int:
        """How many blocks of steps it has begun."""
        return sum(line.startswith("block") for line in self.said)

    def kept(self) -> int:
        """How many of them it has written into a checkpoint."""
        pairs = itertools.pairwise(line for line in self.said if line.startswith(("block", "wrote")))
        return sum(one.startswith("block") and two.startswith("wrote") for one, two in pairs)

    def signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self) -> int:
        """Wait for the end; the exit status, negative for a signal."""
        for _ in self.lines():
            pass
        os.close(self._pipe)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def words(self) -> str:
        """The last lines of its streams."""
        return " / ".join(self.log.read_text(errors="replace").strip().splitlines()[-3:])


def _live(work: Callable[[Say], None], there: int, log: Path) -> None:
    status = 1
    try:
        # the parent's handlers are none of the child's business
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        work(lambda text: void(os.write(there, f"{text}\n".encode())))
        status = 0
    except KeyboardInterrupt:  # what the interpreter does at its end
        traceback.print_exc()
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001 - this is the end of the process
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def void(_: Any) -> None:
    """Nothing."""


def run(name: str, folder: Path | None, out: Path | None, cache: Path, say: Say, resume: bool = True) -> None:
    """A job of `checkpointed_run` with a checkpoint after every block, saying where it is."""
    import warnings

    warnings.simplefilter("ignore")
    ss.compilation_cache(cache)
    save, restore, simulate = _checkpoint.Part.save, _checkpoint.Part.restore, _engine.simulate

    def saving(part: Any, step: int, *rest: Any) -> None:
        say(f"write {step}")
        save(part, step, *rest)
        say(f"wrote {step}")

    def restoring(part: Any) -> Any:
        say("read")
        return restore(part)

    def simulating(*args: Any, **options: Any) -> Any:
        say("compile")
        return simulate(*args, **options)

    def pace(*args: Any) -> tuple[int, int, bool]:
        say(f"block {args[0]}")
        return fixed_pace(*args)

    _checkpoint.Part.save, _checkpoint.Part.restore = saving, restoring
    _engine.next_block, _run.simulate, _sweep_job.simulate = pace, simulating, simulating
    checkpointed_run.PACE = 103.0
    options = {} if folder is None else {"checkpoint": ss.Checkpoint(folder, seconds=0), "resume": resume}
    say("start")
    result = do(name, **options)
    say("end")
    if out is not None:
        np.savez(out, **everything(result))


def load(path: Path) -> dict[str, np.ndarray]:
    """What `run` has left."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def differing(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> str | None:
    """What is not the same to the last bit, if anything is."""
    try:
        checkpointed_run.same_bits(one, other)
    except AssertionError as error:
        return f"other bits: {str(error).strip().splitlines()[0]}"
    return None
