"""Processes that are timed like anything else: for what cannot be changed within one."""

import atexit
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from benchmarks._timing import Contender, Missing

_ROOT = Path(__file__).parents[1]
_TAKE, _READY, _DONE, _MISSING = "take", "ready", "done", "missing"


class Workers:
    """Processes on the CPU that make their steps at the same time, whenever they are told to.

    Args:
        module: what each of them is, `python -m module`; it calls `serve`.
        arguments: of each.
        fault: what has gone wrong if one of them ends.
    """

    def __init__(self, module: str, *arguments: Sequence[object], fault: str = "its process has ended"):
        self._fault = fault
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", module, *map(str, given)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=_ROOT,
                env={**os.environ, "JAX_PLATFORMS": "cpu"},
            )
            for given in arguments
        ]
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def contender(self, who: str, work: str = "") -> Contender:
        """They at that work, as something to time; it takes the place of their work before.

        Raises:
            Missing: if one of them says that it cannot do it, or ends.
        """
        units = [float(answer) for answer in self._ask(f"{_TAKE} {work}", _READY)]
        return Contender(who, lambda steps: self._ask(str(steps), _DONE), units[0])

    def close(self) -> None:
        """End the processes."""
        atexit.unregister(self.close)
        for process in self._processes:
            process.kill()
            process.communicate()

    def _ask(self, line: str, expected: str) -> list[str]:
        """Say the same to all, then wait for each."""
        for process in self._processes:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # then there is no answer either
                process.stdin.write(f"{line}\n")
                process.stdin.flush()
        return [self._answer(process, expected) for process in self._processes]

    def _answer(self, process: subprocess.Popen[str], expected: str) -> str:
        """What follows that word on a line; others may print there too."""
        assert process.stdout is not None
        for line in iter(process.stdout.readline, ""):
            word, _, rest = line.strip().partition(" ")
            if word == _MISSING:
                raise Missing(rest)
            if word == expected:
                return rest
        raise Missing(self._fault)


def serve(build: Callable[[str], Contender]) -> None:
    """Be a worker: take up the work, or make the steps, that a line of the standard input says."""
    contender: Contender | None = None
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word != _TAKE:
            assert contender is not None
            contender.run(int(word))
            print(_DONE, flush=True)
            continue
        try:
            contender = build(rest)
        except Missing as reason:
            print(_MISSING, reason, flush=True)
        else:
            print(_READY, contender.work, flush=True)
