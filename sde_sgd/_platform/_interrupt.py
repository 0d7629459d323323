"""Ctrl-C and SIGTERM, heard between two chunks of a run instead of in the middle of one."""

import concurrent.futures.thread  # noqa: F401 - its own end of all threads must come after ours
import contextlib
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from sde_sgd._platform import _devices


class Interrupted(BaseException):
    """A run has saved itself and stops because of a signal."""

    def __init__(self, number: int):
        super().__init__(f"stopped by signal {number}")
        self.number = number


class Interrupt:
    """Between `start` and `close` the first SIGINT or SIGTERM is only noted; a second one acts at once.

    A signal that was ignored before stays ignored, and one that was noted and not delivered acts
    at `close`. Signals belong to the main thread: elsewhere, or if not `active`, none is noted; but a
    thread hears when the main thread has ended by Ctrl-C, as if it had got that itself.
    """

    def __init__(self, *, active: bool):
        self._main = threading.current_thread() is threading.main_thread()
        self._active = active and self._main
        self._before: dict[signal.Signals, Any] = {}
        self._noted = 0
        self._thread: _Thread | None = None

    def start(self) -> "Interrupt":
        """Begin to listen."""
        if self._active:
            for number in (signal.SIGINT, signal.SIGTERM):
                # None: something other than Python handles it, and Python could not put that back
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        elif not self._main:
            self._thread = _Thread()
        return self

    def close(self) -> None:
        """Signals do again what they did before, and one noted since the last look does it now."""
        self._restore()
        if self._thread is not None:
            self._thread.end()
        number, self._noted = self._noted, 0
        if number:
            signal.raise_signal(number)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._noted:
            self._restore()
            self._noted = 0
            signal.raise_signal(number)
            return
        self._noted = number

    def _restore(self) -> None:
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)

    def noted(self) -> int:
        """The signal that came, on this host or on any other; 0 if none."""
        ended = self._thread is not None and self._thread.main_has_ended
        (number,) = _devices.agree(float(self._noted or (signal.SIGINT if ended else 0)))
        return int(number)

    def deliver(self, number: int) -> None:
        """Do now what the signal would have done."""
        self._restore()
        self._noted = 0
        if self._main:
            signal.raise_signal(number)


class _Thread:
    """A run in a thread of its own, which the end of the interpreter waits for.

    Python itself waits for threads only where nothing interrupts it, and what still runs then in
    compiled code aborts the process.
    """

    def __init__(self) -> None:
        self._thread = threading.current_thread()
        self._over = threading.Event()
        with _guard:
            if not _hooked:
                _hooked.append(True)
                # before this, at the very end, nothing can be written: orbax writes in threads too
                register = getattr(threading, "_register_atexit", None)
                if register is not None:
                    with contextlib.suppress(RuntimeError):  # the main thread has ended already
                        register(_end_of_main)
            _running.append(self)

    @property
    def main_has_ended(self) -> bool:
        """Whether it is time to stop: after Ctrl-C, and for a daemon at any end."""
        return bool(_ending) and (self._thread.daemon or _ending[0])

    def end(self) -> None:
        """The run is over."""
        with _guard:
            if self in _running:
                _running.remove(self)
        self._over.set()

    def wait(self) -> None:
        """Until it is over, and its thread has left what Python would not have waited for.

        A `join` that Ctrl-C has interrupted leaves a thread that still runs marked as stopped (CPython
        3.11), and a thread that comes back from compiled code after the interpreter aborts the process.
        """
        self._over.wait()
        ident = self._thread.ident
        while not self._thread.is_alive() and ident in sys._current_frames():
            if any(thread.ident == ident and thread.is_alive() for thread in threading.enumerate()):
                return  # another one, with the number of this
            time.sleep(0.01)


_guard = threading.Lock()
_running: list[_Thread] = []
_hooked: list[bool] = []
_ending: list[bool] = []


def _end_of_main() -> None:
    """The main thread has ended: runs in other threads stop if Ctrl-C ended it, and go on if not."""
    kind = getattr(sys, "last_type", None)
    _ending.append(isinstance(kind, type) and issubclass(kind, KeyboardInterrupt))
    while True:
        with _guard:
            if not _running:
                return
            first = _running[0]
        first.wait()
