"""Ctrl-C and SIGTERM, heard between two chunks of a run instead of in the middle of one."""

import signal
import threading
from types import FrameType
from typing import Any

from sde_sgd import _devices


class Interrupted(BaseException):
    """A run has saved itself and stops because of a signal."""

    def __init__(self, number: int):
        super().__init__(f"stopped by signal {number}")
        self.number = number


class Interrupt:
    """Between `start` and `close` the first SIGINT or SIGTERM is only noted; a second one acts at once.

    Signals belong to the main thread: elsewhere, or if not `active`, nothing is noted.
    """

    def __init__(self, *, active: bool):
        self._active = active and threading.current_thread() is threading.main_thread()
        self._before: dict[signal.Signals, Any] = {}
        self._noted = 0

    def start(self) -> "Interrupt":
        """Begin to listen."""
        if self._active:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def close(self) -> None:
        """Signals do again what they did before."""
        self._restore()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._noted:
            self._restore()
            signal.raise_signal(number)
        self._noted = number

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def noted(self) -> int:
        """The signal that came, on this host or on any other; 0 if none."""
        (number,) = _devices.agree(float(self._noted))
        return int(number)

    def deliver(self, number: int) -> None:
        """Do now what the signal would have done."""
        self._restore()
        signal.raise_signal(number)
