"""When a run looks at its chains, in steps."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def as_marks(steps: Sequence[int] | np.ndarray) -> range | np.ndarray:
    """Steps at which samples are taken; evenly spaced ones as a range, which is taken in larger chunks."""
    marks = np.asarray(steps, np.int64)
    if len(marks) and (marks == marks[0] * np.arange(1, len(marks) + 1)).all():
        return range(int(marks[0]), int(marks[-1]) + 1, int(marks[0]))
    return marks


@dataclass(frozen=True)
class Plan:
    """How long, and when to look.

    Attributes:
        start: place on the clock.
        steps: to go from there.
        marks: steps from the start at which samples are taken, rising.
        burn_in: steps before statistics are gathered.
        sample_start: whether the start is a sample too.
        keep_end: whether the end is recorded where it is no mark. Statistics weigh samples that are evenly
            spaced, so they do not take it.
    """

    start: int
    steps: int
    marks: range | np.ndarray
    burn_in: int = 0
    sample_start: bool = True
    keep_end: bool = False

    @property
    def samples(self) -> int:
        """Number of samples, start and end included."""
        return len(self.marks) + int(self.sample_start) + int(self.keep_end)

    def looked(self, done: int) -> dict[str, int]:
        """Where samples lie up to `done` steps, in a few numbers: equal where the marks up to there are."""
        count = int(self.marks_by(np.asarray(done)))
        end = {"end": done} if self.keep_end and done == self.steps else {}
        if count == 0:
            return {"samples": len(end), **end}
        first = int(self.marks[0])
        if isinstance(self.marks, range):
            return {"samples": count + len(end), "every": first, **end}
        marks = np.asarray(self.marks[:count], np.int64)
        if np.array_equal(marks, first * np.arange(1, count + 1)):
            return {"samples": count + len(end), "every": first, **end}
        return {"samples": count + len(end), "marks": zlib.crc32(marks.tobytes()), **end}

    def marks_by(self, step: np.ndarray) -> np.ndarray:
        """How many marks lie at or before a step."""
        if isinstance(self.marks, range):
            return np.asarray(np.clip(step // self.marks.step, 0, len(self.marks)))
        return np.asarray(np.searchsorted(self.marks, step, side="right"))

    def stretch(self, done: int) -> tuple[int, int, int]:
        """Where the samples around `done` are evenly spaced: from where, how many steps, how far apart."""
        if isinstance(self.marks, range) and len(self.marks):
            last, gap = self.marks[-1], self.marks.step
            if last + gap > self.steps:
                return 0, self.steps, gap
            if done < last:
                return 0, last, gap
        marks = np.asarray(self.marks)
        following = int(np.searchsorted(marks, done, side="right"))
        if following == len(marks):  # no sample any more
            begin = int(marks[-1]) if len(marks) else 0
            return begin, self.steps - begin, self.steps - begin + 1
        begin = int(marks[following - 1]) if following else 0
        gaps = np.diff(marks[following:])
        gap = int(marks[following]) - begin
        uneven = np.flatnonzero(gaps != gap)
        alike = 1 + (int(uneven[0]) if len(uneven) else len(gaps))
        return begin, alike * gap, gap
