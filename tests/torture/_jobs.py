"""Trials shared out among processes that may crash, hang or be killed without harm to the rest."""

import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Trial = Callable[[int], tuple[str, str | None]]
# how many at once; the command line sets it
JOBS = 1


@dataclass
class _Worker:
    """One process, the trials it has before it, and what it has said."""

    numbers: list[int]
    pid: int = 0
    pipe: int = -1
    said: bytes = b""
    since: float = field(default_factory=time.monotonic)


def spread(
    trials: int, begin: Callable[[], Trial], seconds: float = 120.0
) -> Iterator[tuple[int, str, str | None]]:
    """Number, outcome in words and failure (or None) of every trial, as they come in.

    Args:
        trials: how many.
        begin: called once in every process that is started; gives the function of a trial's number.
        seconds: a trial that takes longer is killed, with its process.
    """
    workers = [_Worker(list(range(first, trials, JOBS))) for first in range(min(JOBS, trials))]
    for worker in workers:
        _start(worker, begin)
    try:
        while any(worker.numbers for worker in workers):
            going = {worker.pipe: worker for worker in workers if worker.numbers}
            ready, _, _ = select.select(list(going), [], [], 1.0)
            for pipe in ready:
                yield from _hear(going[pipe], begin)
            for worker in going.values():
                if worker.numbers and time.monotonic() - worker.since > seconds:
                    number = worker.numbers.pop(0)
                    _end(worker)
                    yield number, "hung", f"trial {number}: not through after {seconds:g} s"
                    _start(worker, begin)
    finally:
        for worker in workers:
            _end(worker)


def _hear(worker: _Worker, begin: Callable[[], Trial]) -> Iterator[tuple[int, str, str | None]]:
    some = os.read(worker.pipe, 65536)
    if not some:  # it has gone
        number = worker.numbers.pop(0)
        status = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        worker.pid = 0
        _end(worker)
        yield number, "crashed", f"trial {number}: the process ended with {status}"
        _start(worker, begin)
        return
    *lines, worker.said = (worker.said + some).split(b"\n")
    for line in lines:
        number, outcome, failure = json.loads(line)
        assert worker.numbers.pop(0) == number
        worker.since = time.monotonic()
        yield number, outcome, failure


def _start(worker: _Worker, begin: Callable[[], Trial]) -> None:
    if not worker.numbers:
        return
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(here)
            trial = begin()
            for number in worker.numbers:
                line = json.dumps([number, *trial(number)]) + "\n"
                os.write(there, line.encode())
            status = 0
        except BaseException:  # noqa: BLE001 - a process of its own: this is its end
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(there)
    worker.pid, worker.pipe, worker.said, worker.since = pid, here, b"", time.monotonic()


def _end(worker: _Worker) -> None:
    if worker.pid:
        os.kill(worker.pid, signal.SIGKILL)
        os.waitpid(worker.pid, 0)
    if worker.pipe >= 0:
        os.close(worker.pipe)
    worker.pid, worker.pipe = 0, -1
