"""The way from a well over a barrier, on the line."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sde_sgd import _checks
from sde_sgd.processes._base import check_hyper
from sde_sgd.theory._line import Line
from sde_sgd.theory._setting import Setting, one_setting

_LOOKS = 4001


@dataclass(frozen=True)
class Way:
    """From `start` in a well to `target` beyond the top of a barrier.

    Attributes:
        line: the problem on the line.
        setting: η, B and m.
        start, target: the two points.
        top: the highest point between them, to a 4000th of their distance.
    """

    line: Line
    setting: Setting
    start: float
    target: float
    top: float

    @property
    def sign(self) -> float:
        """+1 where the way leads up the axis, −1 where it leads down."""
        return 1.0 if self.target > self.start else -1.0

    def diffusion(self, x: np.ndarray) -> np.ndarray:
        """D(x) = η'σ²(x)/(2B).

        Raises:
            ValueError: where it is 0.
        """
        variance = self.line.noise_variance(x)
        if not variance.min() > 0:
            raise ValueError(
                f"the gradient noise must be > 0 on the way from {self.start:g} to {self.target:g}, but "
                f"vanishes at {x[variance.argmin()]:.4g}, where nothing gets uphill. Give a noise_variance "
                f"> 0, or a noise of the position with a floor, which then sets the time."
            )
        result: np.ndarray = self.setting.effective_rate / (2 * self.setting.batch) * variance
        return result


def find_way(problem: Any, hyper: Any, start: Any, target: Any, what: str) -> Way:
    """The way that the arguments of `what` mean.

    Raises:
        ValueError: for more parameters, points that are no numbers, or no barrier between them.
    """
    check_hyper(problem, hyper)
    line = Line(problem, what)
    setting = one_setting(hyper)
    end = float(_checks.scalar("target", target))
    if start is not None:
        begin = float(_checks.scalar("start", start))
        return Way(line, setting, begin, end, _top(line, begin, end))
    known = line.minima()
    nearest_first = known[np.argsort(np.abs(known - end))]
    for begin in map(float, nearest_first):
        highest = _highest(line, begin, end)
        if highest is not None:
            return Way(line, setting, begin, end, highest)
    begin = float(nearest_first[-1])
    return Way(line, setting, begin, end, _top(line, begin, end))


def _highest(line: Line, start: float, target: float) -> float | None:
    """The highest point between two others that are lower, or None."""
    x = np.linspace(start, target, _LOOKS)
    losses = line.derivatives(x)[0]
    place = int(losses.argmax())
    return float(x[place]) if 0 < place < _LOOKS - 1 else None


def _top(line: Line, start: float, target: float) -> float:
    """The top between two points, or a refusal that says where the loss is highest instead."""
    if start == target:
        raise ValueError(f"target must differ from start, got {target:g} for both.")
    highest = _highest(line, start, target)
    if highest is not None:
        return highest
    losses = line.derivatives(np.asarray([start, target]))[0]
    if losses[1] > losses[0]:
        raise ValueError(
            f"target must lie beyond a barrier, got {target:g}: from start = {start:g} the loss is highest "
            f"at target itself (it rises from {losses[0]:.4g} to {losses[1]:.4g}), which is inside the basin "
            f"of start, on the wrong side of it, or higher than the barrier. Give a point past the top, such "
            f"as the next minimum."
        )
    raise ValueError(
        f"start must lie below a barrier, got {start:g}: on the way to target = {target:g} the loss is "
        f"highest at start itself ({losses[0]:.4g}), so that there is nothing to escape from. Start at a "
        f"minimum with a top between it and target."
    )
