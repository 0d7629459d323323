"""How far one learning curve is behind another one, in epochs."""

from dataclasses import dataclass

import jax
import numpy as np

_RESAMPLES = 2000


@dataclass(frozen=True)
class Lag:
    """Epochs by which a curve is behind a reference, in the mean over several levels of the loss.

    Attributes:
        value: of the mean curves.
        drawn: the same with the seeds drawn anew.
    """

    value: float
    drawn: np.ndarray

    @property
    def error(self) -> float:
        """Standard error."""
        return float(self.drawn.std())

    def outside(self, low: float, high: float) -> float:
        """p of "at one end of this interval or beyond"."""
        below, above = (self.drawn <= low).sum(), (self.drawn >= high).sum()
        return float((1 + max(below, above)) / (1 + len(self.drawn)))


def lags(
    epochs: np.ndarray, curves: dict[str, np.ndarray], reference: str, at: np.ndarray, *, key: jax.Array
) -> dict[str, Lag]:
    """The lag of each curve behind the reference.

    Args:
        epochs: of the samples.
        curves: name → losses, shape `(seeds, samples)`, a seed having one start in all of them: it is drawn
            for all together.
        reference: name of the one with which the others are compared.
        at: epochs of the reference whose mean losses are the levels.
        key: draws the seeds anew.
    """
    seeds = len(curves[reference])
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=_RESAMPLES) / seeds
    weights = np.concatenate([np.full((1, seeds), 1 / seeds), drawn])
    means = {name: weights @ np.asarray(losses, np.float64) for name, losses in curves.items()}
    levels = np.interp(at, epochs, means[reference][0])
    times = {name: np.array([crossing(epochs, row, levels) for row in rows]) for name, rows in means.items()}
    found = {
        name: (rows - times[reference]).mean(axis=1) for name, rows in times.items() if name != reference
    }
    return {name: Lag(float(rows[0]), rows[1:]) for name, rows in found.items()}


def crossing(epochs: np.ndarray, losses: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """When a curve first comes down to each level, by straight lines between samples; its end where never."""
    falling = np.minimum.accumulate(losses)
    return np.asarray(np.interp(-np.asarray(levels), -falling, epochs))
