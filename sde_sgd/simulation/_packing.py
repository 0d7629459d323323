"""Sharing jobs out so that devices finish together."""

import concurrent.futures
import contextvars
import dataclasses
import heapq
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax

from sde_sgd._platform import _devices, _settings
from sde_sgd._platform._interrupt import Interrupt, Interrupted
from sde_sgd._platform.checkpoints._session import Session

Job = TypeVar("Job")
Work = Callable[[Any, Any, Session], None]


def pack(costs: Sequence[float], bins: int) -> list[list[int]]:
    """Divide jobs among bins: the costliest first, each into the bin that is least full.

    The fullest bin gets at most 4/3 − 1/(3 bins) times what the best division would give it.

    Returns:
        For each bin the numbers of its jobs, in the order in which to do them.

    Source: Graham 1969, *Bounds on multiprocessing timing anomalies*.
    """
    filled: list[list[int]] = [[] for _ in range(bins)]
    heap = [(0.0, number) for number in range(bins)]
    for job in sorted(range(len(costs)), key=lambda job: -costs[job]):
        load, number = heapq.heappop(heap)
        filled[number].append(job)
        heapq.heappush(heap, (load + costs[job], number))
    return filled


def do_jobs(
    jobs: Sequence[Job],
    costs: Sequence[float],
    width: int,
    devices: _devices.Devices | None,
    session: Session,
    work: Work,
) -> None:
    """Call `work(job, devices, session)` for every job.

    Runs of one job take equally long, so where every job can fill the devices they do the jobs one
    after the other and finish together. Jobs of few runs are done side by side, on devices of their
    own, shared out by cost.

    Args:
        jobs, costs: what to do, and what it costs.
        width: most devices that a job can fill.
        devices: for all jobs together, as in `run`.
        session: bar, signals, checkpoints.
        work: does one job.

    Raises:
        BaseException: the first error of any job, after the next block of all others.
    """
    everyone = _devices.available(devices)
    teams = len(everyone) // width if jax.process_count() == 1 else 1
    if teams < 2 or len(jobs) < 2:
        for job in jobs:
            work(job, devices, session)
        return
    shares = pack(costs, min(teams, len(jobs)))
    own = [everyone[number * width : (number + 1) * width] for number in range(len(shares))]
    _side_by_side([[jobs[number] for number in share] for share in shares], own, session, work)


class _Together(Interrupt):
    """What jobs side by side listen to: what ends one of them ends them all."""

    def __init__(self, outer: Interrupt):
        super().__init__(active=False)
        self._outer, self._ended = outer, threading.Event()

    def end(self) -> None:
        """All are to end after the block they are in, and save themselves if they can."""
        self._ended.set()

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self._ended.is_set()

    def noted(self) -> int:
        return self._outer.noted() or (int(signal.SIGTERM) if self.ended else 0)


def _side_by_side(
    shares: list[list[Any]], devices: list[list[_devices.Device]], session: Session, work: Work
) -> None:
    """One thread for each share."""
    together = _Together(session.interrupt)
    inner = dataclasses.replace(session, interrupt=together)
    settings = _settings.compiled_in()

    def do(share: list[Any], own: list[_devices.Device]) -> None:
        with _settings.in_thread(settings):
            for job in share:
                if not together.ended:
                    work(job, own, inner)

    with concurrent.futures.ThreadPoolExecutor(len(shares)) as pool:
        try:
            futures = [
                pool.submit(contextvars.copy_context().run, do, share, own)
                for share, own in zip(shares, devices, strict=True)
            ]
            concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_EXCEPTION)
        finally:
            together.end()
    errors = [error for error in (future.exception() for future in futures) if error is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, Interrupted)):
        raise error
