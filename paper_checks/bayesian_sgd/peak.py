"""Test accuracy is highest at a batch size between the smallest and all examples.

Thresholds, set before the runs that decide:

- The accuracy at the best B is above that with all examples in each step, and above that at the smallest B:
  t-tests of the differences seed by seed, one-sided, Holm at level .05. Which B is best is read for each seed
  off the mean of the others, since the largest of several noisy means is above what it stands for.
- Control: the accuracies of each seed dealt out anew to the batch sizes, all examples among them.
"""

from typing import Any

import jax
import numpy as np

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.bayesian_sgd import _noise_grid, _optima
from paper_checks.bayesian_sgd._paper import BAYESIAN_SGD
from paper_checks.sharpest_directions._paired import LEVEL, all_above

FULL, SMALLEST = "all examples", "the smallest B"


def check(context: Context) -> Outcome:
    """Compare the best B with both ends, seed by seed."""
    if context.scale == "smoke":
        return Outcome.not_tested(_noise_grid.TOO_SMALL)
    arm = _noise_grid.arms(context)[_noise_grid.peak_setting(context)]
    sizes = np.append(arm.accuracy.batches, _noise_grid.SIZE)
    accuracy = np.vstack([arm.accuracy.values, _noise_grid.full_batch(context)])
    key = context.key_for("dealt")
    main = _judge("accuracy at the best B above both ends", accuracy)
    gains_ = gains(accuracy)
    best = float(sizes[accuracy.mean(axis=1).argmax()])
    return Outcome(
        measurements=(
            main,
            *(_told(f"gain over {end}", one) for end, one in gains_.items()),
            Measurement("best B", best, f"between {sizes[0]:.0f} and {sizes[-1]:.0f}", None),
        ),
        control=_judge("accuracies dealt out anew", dealt(accuracy, key)),
        summary=(
            f"Test accuracy is highest at B = {best:.0f}, {100 * gains_[FULL].mean():.1f} % above that with "
            "all examples in each step."
        ),
        figure=_draw(sizes, accuracy, arm.name),
    )


def gains(accuracy: np.ndarray) -> dict[str, np.ndarray]:
    """What the best B has over all examples (the last row) and over the smallest (the first), for each seed.

    Args:
        accuracy: shape (B, seeds). Which row is best for a seed is read off the other seeds.
    """
    seeds = accuracy.shape[1]
    rest = (accuracy.sum(axis=1, keepdims=True) - accuracy) / (seeds - 1)
    best = accuracy[rest.argmax(axis=0), np.arange(seeds)]
    return {FULL: best - accuracy[-1], SMALLEST: best - accuracy[0]}


def dealt(accuracy: np.ndarray, key: jax.Array) -> np.ndarray:
    """The values of each seed in another order."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
    return rng.permuted(accuracy, axis=0)


def _judge(name: str, accuracy: np.ndarray) -> Measurement:
    return all_above(name, gains(accuracy), limit=0.0, threshold="above 0", ratio=False)


def _told(name: str, values: np.ndarray) -> Measurement:
    return Measurement(
        name=name,
        estimate=float(values.mean()),
        standard_error=float(values.std(ddof=1) / np.sqrt(len(values))),
        n=len(values),
        threshold="0 if noise does nothing",
        met=None,
    )


def _draw(sizes: np.ndarray, accuracy: np.ndarray, name: str) -> Any:
    figure, ax = ss.plot.figure(width=6.4, height=3.9)
    error = 2 * accuracy.std(axis=1, ddof=1) / np.sqrt(accuracy.shape[1])
    mean = accuracy.mean(axis=1)
    ax.errorbar(sizes[:-1], mean[:-1], error[:-1], fmt="o-", color="#0072B2", label=name)
    ax.errorbar(
        sizes[-1:], mean[-1:], error[-1:], fmt="s", color="#D55E00", label="all examples in each step"
    )
    ax.axhline(mean[-1], color="#D55E00", lw=1, ls=":")
    ax.set_ylim(mean.max() - 0.07, mean.max() + 0.012)
    ax.set_xscale("log")
    _optima.plain_x_ticks(ax)
    ax.set_xlabel("batch size B")
    ax.set_ylabel("test accuracy ± 2 standard errors")
    ax.legend(fontsize=9, loc="lower right")
    return figure


CARD = BAYESIAN_SGD.at("section 4, figures 3 and 4").card(
    claim="Test accuracy has a peak at a batch size between the smallest and the whole training set.",
    data="MNIST",
    paper_setting="MLP of 800 ReLU units on 1,000 images of MNIST, η = 1, momentum .9, no regularisation.",
    our_setting=f"""
        {_noise_grid.SETTING} η = .1, m = .9: at the paper's η = 1 networks of 100 units fail for B of 128
        and less. 7 batch sizes from 11 to 91, and all 1,000 examples in each step (smoke: not tested; full:
        η = 1).
    """,
    statistic="""
        Test accuracy at the best B minus that with all examples, and minus that at the smallest B, seed by
        seed from one start; the best B of a seed is read off the other seeds. The difference that is least
        shown.
    """,
    threshold=f"Both above 0: t-tests over seeds, one-sided, Holm at level {LEVEL:g}.",
    reason="The null is that noise does nothing, or only harm.",
    control="The same after the accuracies of each seed are dealt out anew to the batch sizes.",
    check=check,
)
