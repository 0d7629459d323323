"""One line of the table."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Row:
    """What was tried, and what came of it.

    Attributes:
        what: in words, such as "NetCDF file of a sweep, one bit flipped".
        tried: number of trials.
        held: those that ended as documented.
        outcomes: in words → number of trials that ended so, such as {"refused": 90, "same bits": 10}.
        failures: what went wrong, in a line each, with what repeats it (seed and number of the trial).
    """

    what: str
    tried: int = 0
    held: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def note(self, outcome: str, failure: str | None = None) -> None:
        """Count one trial."""
        self.tried += 1
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if failure is None:
            self.held += 1
        else:
            self.failures.append(failure)


# A module of this package has `rows(amount, seed)`: amount 1 is the whole, .01 a hundredth of the trials.
Rows = Callable[[float, int], list[Row]]
