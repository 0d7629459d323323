"""Tests run in forks of one process that has already loaded what takes long to load."""

import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Nothing of the project is among them, and no JAX backend is made, so that a fork is a fresh start.
HEAVY = (
    "pytest",
    "numpy",
    "scipy.stats",
    "scipy.sparse.linalg",
    "jax",
    "jax.numpy",
    "jax.scipy",
    "jax.experimental.multihost_utils",
    "beartype",
    "jaxtyping",
    "equinox",
    "diffrax",
    "optax",
    "orbax.checkpoint",
    "xarray",
    "netCDF4",
    "zarr",
    "sklearn.datasets",
    "matplotlib.pyplot",
    "tqdm",
)
FAILED_TESTS, TIMED_OUT = 1, 124


@dataclass
class Outcome:
    """How pytest ended.

    Attributes:
        status: its exit status; `TIMED_OUT` where it was stopped at the time limit.
        failed: the tests that failed, with the last line of each error.
        passed: the tests that passed.
        seconds: how long it took.
        said: the end of its output.
    """

    status: int
    failed: dict[str, str] = field(default_factory=dict)
    passed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    said: str = ""


def load() -> None:
    """Load the heavy packages here, once."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    for name in HEAVY:
        importlib.import_module(name)


@dataclass
class Child:
    """pytest in a fork, with its output in a file."""

    number: int
    report: Path
    begun: float
    limit: float

    def ended(self) -> Outcome | None:
        """What came out; None while it runs. It is stopped, with all it has started, at its limit."""
        found, status = os.waitpid(self.number, os.WNOHANG)
        seconds = time.monotonic() - self.begun
        if not found:
            if seconds < self.limit:
                return None
            os.killpg(self.number, signal.SIGKILL)
            os.waitpid(self.number, 0)
            return Outcome(TIMED_OUT, seconds=seconds)
        outcome = Outcome(os.waitstatus_to_exitcode(status), seconds=seconds)
        for line in self.report.read_text(encoding="utf-8").splitlines() if self.report.exists() else ():
            kind, name, message = line.split("\t", 2)
            if kind == "passed":
                outcome.passed.append(name)
            else:
                outcome.failed.setdefault(name, message)
        output = self.report.with_suffix(".out")
        outcome.said = output.read_text(encoding="utf-8", errors="replace")[-2000:] if output.exists() else ""
        return outcome


def start(root: Path, arguments: Sequence[str], report: Path, limit: float) -> Child:
    """Run pytest in `root` on these arguments, in a fork."""
    report.unlink(missing_ok=True)
    begun = time.monotonic()
    number = os.fork()
    if not number:
        status = 3
        try:
            status = _inside(root, arguments, report)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            raise
        finally:
            os._exit(status)
    return Child(number, report, begun, limit)


def _inside(root: Path, arguments: Sequence[str], report: Path) -> int:
    os.setsid()
    output = os.open(report.with_suffix(".out"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(root)
    # the copy comes before the package that is installed
    sys.path.insert(0, str(root))
    os.environ["PYTHONPATH"] = str(root)
    import pytest

    # without the checks of types, as users have it: they would take more than half of the time
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=--strict-markers"]
    options += ["-W", "ignore:Module already imported"]
    status = pytest.main([*options, *arguments], plugins=[_Report(report)])
    sys.stdout.flush()
    sys.stderr.flush()
    return int(status)


class _Report:
    """Writes down what passed and what failed, as it comes."""

    def __init__(self, file: Path):
        self.file = file

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self._say("failed", report.nodeid, report.longrepr)
        elif report.passed and report.when == "call":
            self._say("passed", report.nodeid, None)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._say("broken", report.nodeid or "collection", report.longrepr)

    def _say(self, kind: str, name: str, found: Any) -> None:
        crash = getattr(found, "reprcrash", None)
        message = str(getattr(crash, "message", found or ""))
        first = " ".join(message.split())[:160]
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(f"{kind}\t{name}\t{first}\n")
