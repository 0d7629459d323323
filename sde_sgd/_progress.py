"""A progress bar for long work, quiet where nobody looks."""

import sys
import time

from tqdm.auto import tqdm


class Progress:
    """Counts units of work on a bar that appears after two seconds, on a terminal or notebook.

    Args:
        total: units of work.
        label: what is being done.
        show: True always, False never, None where the error stream is a terminal.
    """

    def __init__(self, total: int, label: str, show: bool | None):
        self._total, self._label = total, label
        self._show = sys.stderr.isatty() if show is None else show
        self._delay = 2.0 if show is None else 0.0
        self._bar: tqdm | None = None
        self._started = time.monotonic()
        self._done = 0

    def advance(self, units: int) -> None:
        """Count `units` more as done."""
        self._done += units
        if not self._show:
            return
        if self._bar is None:
            if time.monotonic() - self._started < self._delay:
                return
            self._bar = tqdm(total=self._total, desc=self._label, unit="step", unit_scale=True)
            self._bar.update(self._done)
        else:
            self._bar.update(units)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
