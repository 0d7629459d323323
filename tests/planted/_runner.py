"""Plants faults in copies of the project, one at a time in each, and sees what the tests say."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from planted._children import FAILED_TESTS, TIMED_OUT, Child, Outcome, start
from planted._fault import Fault, OutOfDateError, checksum

COPIED = ("sde_sgd", "tests", "benchmarks", "examples", "paper_checks", "pyproject.toml", "README.md")


@dataclass(frozen=True)
class Verdict:
    """What became of a fault.

    Attributes:
        status: "caught"; "survived"; "equivalent", where it was to; "out of date", where the text it replaces
            is gone; "unfounded", where its tests fail without it; "broken", where no test could run;
            "timed out".
        by: the test that caught it.
        message: what it said, or what went wrong.
        seconds: how long it took.
    """

    status: str
    by: str = ""
    message: str = ""
    seconds: float = 0.0


class Copy:
    """A copy of the project in a folder of its own, to be spoilt and mended."""

    def __init__(self, root: Path, folder: Path):
        self.root = folder / "project"
        self.folder = folder
        self._changes = 0
        for name in COPIED:
            if (root / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "results", "figures")
                shutil.copytree(root / name, self.root / name, ignore=ignored)
            elif (root / name).is_file():
                self.root.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, self.root / name)

    def write(self, file: str, text: str) -> None:
        """Write a file so that no byte code made of what was there before is taken for it.

        Byte code is told to be stale by the second of the change and the size alone.
        """
        path = self.root / file
        path.write_text(text, encoding="utf-8")
        self._changes += 1
        then = int(time.time()) - 1_000_000 + self._changes
        os.utime(path, (then, then))

    def run(self, arguments: Sequence[str], limit: float) -> Child:
        """Start pytest here."""
        return start(self.root, arguments, self.folder / "report", limit)


class Runner:
    """Takes the jobs of a list by as many copies as there are, each in turn.

    Args:
        root: of the project.
        folder: for the copies.
        jobs: how many copies.
        limit: seconds for the tests of one fault.
        known: results of earlier runs by the checksum of all they hang on; added to.
        say: is told every result.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        *,
        jobs: int = 1,
        limit: float = 300.0,
        known: dict[str, object] | None = None,
        say: Callable[[str], None] = print,
    ):
        self.root, self.folder, self.limit, self.say = root, folder, limit, say
        self.known: dict[str, object] = {} if known is None else known
        self.jobs = jobs
        self._copies: list[Copy] = []

    def baseline(self, faults: Iterable[Fault]) -> dict[str, list[str]]:
        """The tests that pass in a copy without any fault, for every file of tests."""
        wanted: dict[str, set[str]] = {}
        for fault in faults:
            for node in fault.nodes:
                wanted.setdefault(node.partition("::")[0], set()).add(node)
        everything = self._checksum_of_all()
        found: dict[str, list[str]] = {}
        jobs = []
        for file, nodes in sorted(wanted.items()):
            name = "baseline " + checksum(everything, *sorted(nodes))
            if name in self.known:
                found[file] = list(self.known[name])  # type: ignore[call-overload]
                continue

            def begin(copy: Copy, nodes: set[str] = nodes) -> Child:
                return copy.run(sorted(nodes), self.limit * len(nodes))

            def end(outcome: Outcome, _copy: Copy, file: str = file, name: str = name) -> None:
                found[file] = outcome.passed
                bad = f", {len(outcome.failed)} failed: {outcome.failed}" if outcome.failed else ""
                bad += (
                    f", status {outcome.status}: {outcome.said}"
                    if outcome.status not in (0, FAILED_TESTS)
                    else ""
                )
                self.say(
                    f"without a fault {file}: {len(outcome.passed)} passed{bad} ({outcome.seconds:.0f} s)"
                )
                if not bad:
                    self.known[name] = outcome.passed

            jobs.append((begin, end))
        self._do(jobs)
        return found

    def verdicts(self, faults: Sequence[Fault], passing: dict[str, list[str]] | None) -> dict[str, Verdict]:
        """What the tests say of every fault, by its name.

        Args:
            faults: to be planted.
            passing: the tests that pass without a fault; None takes it that all do.
        """
        found: dict[str, Verdict] = {}
        jobs = []

        def keep(fault: Fault, verdict: Verdict) -> None:
            found[fault.name] = verdict
            by = f" by {verdict.by}" if verdict.by else f": {verdict.message}" if verdict.message else ""
            self.say(f"{verdict.status:11s} {fault.name}{by} ({verdict.seconds:.0f} s)")

        for fault in sorted(faults, key=lambda fault: fault.tests):
            text = (self.root / fault.file).read_text(encoding="utf-8")
            try:
                wrong = fault.planted_in(text)
            except OutOfDateError as error:
                keep(fault, Verdict("out of date", message=str(error)))
                continue
            missing = [] if passing is None else _missing(fault, passing)
            if missing:
                keep(fault, Verdict("unfounded", message=f"{', '.join(missing)} does not pass without it"))
                continue
            name = self._name_of(fault, wrong)
            if name in self.known:
                keep(fault, Verdict(**self.known[name]))  # type: ignore[arg-type]
                continue

            def begin(copy: Copy, fault: Fault = fault, wrong: str = wrong) -> Child:
                copy.write(fault.file, wrong)
                return copy.run(["-x", *fault.nodes], self.limit)

            def end(
                outcome: Outcome, copy: Copy, fault: Fault = fault, text: str = text, name: str = name
            ) -> None:
                copy.write(fault.file, text)
                verdict = judged(fault, outcome)
                if verdict.status in ("caught", "survived", "equivalent"):
                    self.known[name] = asdict(verdict)
                keep(fault, verdict)

            jobs.append((begin, end))
        self._do(jobs)
        return found

    def _do(self, jobs: list[tuple[Callable[[Copy], Child], Callable[[Outcome, Copy], None]]]) -> None:
        """Every job on the first copy that is free."""
        while len(self._copies) < min(self.jobs, len(jobs)):
            self._copies.append(Copy(self.root, self.folder / f"copy-{len(self._copies)}"))
        waiting, free = list(reversed(jobs)), list(self._copies)
        running: list[tuple[Child, Copy, Callable[[Outcome, Copy], None]]] = []
        while waiting or running:
            while waiting and free:
                begin, end = waiting.pop()
                copy = free.pop()
                running.append((begin(copy), copy, end))
            for entry in list(running):
                child, copy, end = entry
                outcome = child.ended()
                if outcome is not None:
                    running.remove(entry)
                    free.append(copy)
                    end(outcome, copy)
            time.sleep(0.05)

    def _name_of(self, fault: Fault, wrong: str) -> str:
        files = {node.partition("::")[0] for node in fault.nodes}
        texts = [(self.root / file).read_text(encoding="utf-8") for file in sorted(files)]
        return "fault " + checksum(wrong, fault.file, fault.tests, *texts)

    def _checksum_of_all(self) -> str:
        paths = sorted(path for folder in ("sde_sgd", "tests") for path in (self.root / folder).rglob("*.py"))
        return checksum(*(path.read_text(encoding="utf-8") for path in paths if "planted" not in path.parts))


def judged(fault: Fault, outcome: Outcome) -> Verdict:
    """The verdict on a fault from how its tests ended."""
    seconds = round(outcome.seconds, 1)
    if outcome.status == FAILED_TESTS and outcome.failed:
        by, message = next(iter(outcome.failed.items()))
        return Verdict("caught", by.removeprefix("tests/"), message, seconds)
    if outcome.status == 0 and outcome.passed:
        return Verdict("equivalent" if fault.equivalent else "survived", seconds=seconds)
    if outcome.status == TIMED_OUT:
        return Verdict("timed out", seconds=seconds)
    said = "; ".join(outcome.failed.values()) or outcome.said[-200:]
    return Verdict("broken", message=f"pytest ended with {outcome.status}: {said}", seconds=seconds)


def _missing(fault: Fault, passing: dict[str, list[str]]) -> list[str]:
    """The tests a fault names that do not pass without it."""

    def covered(node: str) -> bool:
        names = passing.get(node.partition("::")[0], [])
        return any(name == node or name.startswith((f"{node}[", f"{node}::")) for name in names)

    return [node for node in fault.nodes if not covered(node)]


def remembered(path: Path) -> dict[str, object]:
    """Results of earlier runs."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
