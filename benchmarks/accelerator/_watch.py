"""The worker that measures, watched from outside: a step that hangs or crashes ends no other."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.accelerator._step import Report, Skip, Step

# to start Python and JAX, and to find the device
_START = 60.0
# JAX takes what it needs of the device's memory and no more: other libraries and scripts need some too
_SHARED = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


@dataclass
class Watch:
    """Steps one after the other in a worker, until the time is up.

    Attributes:
        command: starts a worker; the names of steps are added. It prints a line of JSON when a step begins
            and one with its report when it ends.
        deadline: on the clock of `time.monotonic`.
        said: file for what the worker says on its standard error.
        announce: told when a step begins.
    """

    command: Sequence[str]
    deadline: float
    said: Path
    announce: Callable[[Step], None] = lambda _: None
    _worker: "subprocess.Popen[str] | None" = None
    _reader: threading.Thread | None = None
    _lines: "queue.Queue[str | None]" = field(default_factory=queue.Queue)

    def reports(self, steps: Sequence[Step]) -> Iterator[Report]:
        """The report of each step, as soon as it is there."""
        left = list(steps)
        self.said.write_text("", encoding="utf-8")
        try:
            while left and self._seconds_left() > 0:
                self._start([step.name for step in left])
                while left:
                    report = self._next(left[0])
                    left.pop(0)
                    yield report
                    if self._worker is None:
                        break
        finally:
            self._stop()
        for step in left:
            yield Report(step.name, "not begun", reason="the time was up")

    def _next(self, step: Step) -> Report:
        """The report of the step that the worker takes next."""
        began, limit = time.monotonic(), min(_START + step.limit, self._seconds_left())
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, began + limit - time.monotonic()))
            except queue.Empty:
                self._stop()
                spent = time.monotonic() - began
                if self._seconds_left() <= 0:
                    return Report(step.name, "over its limit", spent, "the time was up")
                return Report(step.name, "over its limit", spent, f"more than {step.limit:g} s")
            if line is None:
                return Report(step.name, "failed", time.monotonic() - began, self._ended())
            message = _message(line)
            if message.get("begins") == step.name:  # from here its own limit counts
                began, limit = time.monotonic(), min(step.limit, self._seconds_left())
                self.announce(step)
            elif message.get("name") == step.name:
                return Report.of_json(message)

    def _start(self, names: Sequence[str]) -> None:
        self._lines = queue.Queue()
        with self.said.open("a", encoding="utf-8") as said:
            self._worker = subprocess.Popen(
                [*self.command, *names],
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env={**os.environ, **_SHARED},
                start_new_session=True,
            )
        self._reader = threading.Thread(target=_read, args=(self._worker, self._lines), daemon=True)
        self._reader.start()

    def _stop(self) -> None:
        if self._worker is not None:
            # with the scripts that it has started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._worker.pid, signal.SIGKILL)
            self._close()

    def _ended(self) -> str:
        """How the worker came to its end."""
        code = self._close()
        last = [line for line in self.said.read_text(encoding="utf-8", errors="replace").splitlines() if line]
        return f"the worker ended with status {code}: {last[-1] if last else 'no message'}"

    def _close(self) -> int:
        """Wait for the end of the worker, and of what reads its words."""
        assert self._worker is not None
        assert self._reader is not None
        code = self._worker.wait()
        self._reader.join()
        self._worker = None
        return code

    def _seconds_left(self) -> float:
        return self.deadline - time.monotonic()


def _read(worker: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
    assert worker.stdout is not None
    with worker.stdout as told:
        for line in told:
            lines.put(line)
    lines.put(None)


def _message(line: str) -> dict[str, Any]:
    """A line of the worker; libraries print there too."""
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def work(steps: Sequence[Step], smoke: bool, say: Callable[[str], None]) -> None:
    """What the worker does: each step, and a line before and after it."""
    for step in steps:
        say(json.dumps({"begins": step.name}))
        say(json.dumps(_report(step, smoke).as_json()))


def _report(step: Step, smoke: bool) -> Report:
    began = time.perf_counter()
    try:
        found = step.run(smoke)
    except Skip as missing:
        return Report(step.name, "skipped", time.perf_counter() - began, str(missing))
    except Exception as error:  # noqa: BLE001 - the next step has nothing to do with it
        reason = f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
        return Report(step.name, "failed", time.perf_counter() - began, reason)
    return Report(step.name, "done", time.perf_counter() - began, found=found)
