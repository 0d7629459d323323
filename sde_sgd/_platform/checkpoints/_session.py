"""What surrounds a run: its bar, the signals it hears, the folder it is saved in."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from sde_sgd._platform._interrupt import Interrupt, Interrupted
from sde_sgd._platform._progress import Progress
from sde_sgd._platform._telling import log
from sde_sgd._platform.checkpoints._store import Store


@dataclass(frozen=True)
class Session:
    """What surrounds the loop: the bar, signals, and where checkpoints go."""

    bar: Progress
    interrupt: Interrupt
    store: Store | None
    memory_limit: int | None = None


@contextlib.contextmanager
def open_session(bar: Progress, store: Store | None, memory_limit: int | None = None) -> Iterator[Session]:
    """Listen for signals while there are checkpoints to write; do what they ask once that is done."""
    with (
        contextlib.closing(bar),
        contextlib.closing(Interrupt(active=store is not None).start()) as interrupt,
    ):
        try:
            with contextlib.nullcontext() if store is None else store.opened():
                yield Session(bar, interrupt, store, memory_limit)
                late = interrupt.noted()
        except Interrupted as stop:
            bar.close()
            interrupt.deliver(stop.number)
            raise KeyboardInterrupt from stop  # somebody's own handler has let it pass
        if late:  # it came when the last checkpoint was being written
            bar.close()
            if store is not None:
                log.warning("interrupted at the end: %s", store.outcome())
            interrupt.deliver(late)
