"""A progress bar for long work, quiet where nobody looks."""

import sys
import threading
import time

from tqdm.auto import tqdm

from sde_sgd._platform import _telling


class Progress:
    """Counts units of work on a bar that appears after two seconds, on a terminal or notebook.

    It is drawn from the host between compiled chunks, so it works whatever is vmapped or jitted. It
    shows the rate and the time left, both from the work of this session alone.

    Args:
        total: units of work.
        label: what is being done.
        show: True always, False never, None where the error stream is a terminal or a notebook. Of several
            hosts the first shows it.
        unit: what is counted.
    """

    def __init__(self, total: float, label: str, show: bool | None, unit: str = "step"):
        self._total, self._label, self._unit = total, label, unit
        self._show = (_somebody_looks() if show is None else show) and _telling.is_first_host()
        self._delay = 2.0 if show is None else 0.0
        self._bar: tqdm | None = None
        self._started = time.monotonic()
        self._done = self._before = 0.0
        self._note = ""
        self._lock = threading.Lock()  # jobs side by side share one bar

    def skip(self, units: float) -> None:
        """Count `units` as done in an earlier session: they do not enter the rate."""
        with self._lock:
            self._before += units
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def advance(self, units: float) -> None:
        """Count `units` more as done."""
        with self._lock:
            self._advance(units)

    def _advance(self, units: float) -> None:
        self._done += units
        if not self._show:
            return
        if self._bar is None:
            if time.monotonic() - self._started < self._delay:
                return
            self._bar = tqdm(
                total=self._total,
                initial=self._before,
                desc=self._label,
                unit=self._unit,
                unit_scale=True,
                mininterval=0.2,
            )
            self._bar.start_t -= time.monotonic() - self._started
            self._bar.update(self._done)
            self._bar.set_postfix_str(self._note)
        else:
            self._bar.update(units)

    def note(self, text: str) -> None:
        """Show a short remark behind the bar."""
        with self._lock:
            if text != self._note:
                self._note = text
                if self._bar is not None:
                    self._bar.set_postfix_str(text)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


def _somebody_looks() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules
