"""One fault: what a careless colleague would write, and the tests that must not let it pass."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


class OutOfDateError(ValueError):
    """The text that a fault replaces is not there, or is there more than once."""


@dataclass(frozen=True)
class Fault:
    """A piece of text in one file, and the wrong one to put in its place.

    Args:
        name: what is wrong, in a few words; unique.
        file: relative to the root of the project.
        old: what is there, exactly once.
        new: what is planted.
        tests: who must catch it, names of tests as pytest knows them, relative to `tests/`, separated by
            blanks. Narrow and quick.
        equivalent: why no test can tell the two apart; such a fault need not be caught.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str
    equivalent: str = ""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the tests from the root."""
        return tuple(f"tests/{name}" for name in self.tests.split())

    @property
    def folder(self) -> str:
        """The room of the package it is planted in."""
        inside = Path(self.file).parts[1:-1]
        return inside[0] if inside else "(the engine and conventions)"

    def planted_in(self, text: str) -> str:
        """The text of the file with the fault in it.

        Raises:
            OutOfDateError: if what it replaces is not there exactly once.
        """
        found = text.count(self.old)
        if found != 1:
            raise OutOfDateError(
                f"{self.name!r} is out of date: {self.old!r} is {found} times in {self.file}, must be once."
            )
        if self.new == self.old:
            raise OutOfDateError(f"{self.name!r} changes nothing.")
        return text.replace(self.old, self.new)


def checksum(*texts: str) -> str:
    """A name for these texts together."""
    total = hashlib.sha256()
    for text in texts:
        total.update(f"{len(text)}:".encode() + text.encode())
    return total.hexdigest()[:16]
