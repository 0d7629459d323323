"""L2 regularisation shrinks what small batches have over large ones.

Thresholds, set before the runs that decide:

- The gap, test accuracy at the best of B = 32, 64, 256 minus that at B = 256 from the same starts, is above 0
  without regularisation, and at the largest λ smaller than without: t-tests over seeds, one-sided, Holm at
  level .05. Which B is best is read for each seed off the others, as by the card `peak`.
- Control: the same after the accuracies of each seed are dealt out anew to λ and B.
"""

from typing import Any

import jax
import numpy as np

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.bayesian_sgd import _noise_grid
from paper_checks.bayesian_sgd._optima import COLOURS
from paper_checks.bayesian_sgd._paper import BAYESIAN_SGD
from paper_checks.bayesian_sgd.peak import FULL, gains
from paper_checks.sharpest_directions._paired import LEVEL, all_above

SIZES = (32, 64, 256)
THERE, SHRINKS = "the gap at λ = 0", "what L2 takes off it"


def check(context: Context) -> Outcome:
    """Train at two batch sizes for each λ, compare the gaps seed by seed."""
    if context.scale == "smoke":
        return Outcome.not_tested(_noise_grid.TOO_SMALL)
    strengths = context.pick(smoke=(0.0, 0.01), quick=(0.0, 0.003, 0.01), full=(0.0, 1e-4, 1e-3, 0.003, 0.01))
    accuracy = np.stack([_train(context, strength) for strength in strengths])
    gaps = gaps_of(accuracy)
    mixed = dealt(accuracy, context.key_for("dealt"))
    main = _judge("gap, and its shrinking", gaps)
    return Outcome(
        measurements=(
            main,
            *(
                _told(f"gap at λ = {strength:g}", gap, "0 if all batch sizes are as good")
                for strength, gap in zip(strengths, gaps, strict=True)
            ),
            _told(
                f"what the largest λ adds at B = {SIZES[-1]}",
                accuracy[-1, -1] - accuracy[0, -1],
                "above 0 if L2 does what noise does; 0 if it only takes from small B",
            ),
        ),
        control=_judge("gaps dealt out anew", gaps_of(mixed)),
        summary=(
            f"The gap between the best B and B = {SIZES[-1]} is {100 * gaps[0].mean():.1f} % of test "
            f"accuracy without L2 and {100 * gaps[-1].mean():.1f} % with λ = {strengths[-1]:g}."
        ),
        figure=_draw(strengths, accuracy),
    )


def _train(context: Context, strength: float) -> np.ndarray:
    """Test accuracy at the end, shape (B, seeds)."""
    net = _noise_grid.problem(context, strength)
    rate, momentum = _noise_grid.BASE
    result = context.sweep(
        f"λ = {strength:g}",
        context.sgd,
        net,
        key=context.key_for("starts and batches"),
        learning_rate=rate,
        momentum=momentum,
        batch_size=list(SIZES),
        paired_starts=True,
        record={"accuracy": net.accuracy},
        **_noise_grid.length(context),
    )
    return np.asarray(result["accuracy"].values, np.float64)[..., -1]


def gaps_of(accuracy: np.ndarray) -> np.ndarray:
    """The best B's accuracy minus that of the largest, shape (λ, seeds)."""
    return np.stack([gains(one)[FULL] for one in accuracy])


def dealt(accuracy: np.ndarray, key: jax.Array) -> np.ndarray:
    """Accuracies of shape (λ, B, seeds), those of each seed dealt out anew to the settings."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
    return rng.permuted(accuracy.reshape(-1, accuracy.shape[-1]), axis=0).reshape(accuracy.shape)


def _judge(name: str, gaps: np.ndarray) -> Measurement:
    parts = {THERE: gaps[0], SHRINKS: gaps[0] - gaps[-1]}
    return all_above(name, parts, limit=0.0, threshold="above 0", ratio=False)


def _told(name: str, values: np.ndarray, threshold: str) -> Measurement:
    return Measurement(
        name=name,
        estimate=float(values.mean()),
        standard_error=float(values.std(ddof=1) / np.sqrt(len(values))),
        n=len(values),
        threshold=threshold,
        met=None,
    )


def _draw(strengths: tuple[float, ...], accuracy: np.ndarray) -> Any:
    figure, axes = ss.plot.figure(1, 2, width=4.6, height=3.7)
    places = np.arange(len(strengths))
    for arm, (size, colour) in enumerate(zip(SIZES, COLOURS, strict=False)):
        values = accuracy[:, arm]
        error = 2 * values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
        axes[0].errorbar(places, values.mean(axis=1), error, fmt="o-", color=colour, label=f"B = {size}")
    axes[0].set_ylabel("test accuracy ± 2 standard errors")
    axes[0].legend(fontsize=9)
    gaps = 100 * gaps_of(accuracy)
    error = 2 * gaps.std(axis=1, ddof=1) / np.sqrt(gaps.shape[1])
    axes[1].bar(places, gaps.mean(axis=1), 0.6, yerr=error, color="#009E73", ecolor="black", capsize=3)
    axes[1].axhline(0.0, color="black", lw=1)
    axes[1].set_ylabel("best − largest B, % ± 2 standard errors")
    for ax in axes:
        ax.set_xticks(places, [f"{strength:g}" for strength in strengths])
        ax.set_xlabel("λ, of ½λ|θ|² beside the mean loss")
    return figure


CARD = BAYESIAN_SGD.at("appendix, L2 regularisation").card(
    claim="L2 regularisation shrinks the gap in test accuracy between small and large batches.",
    data="MNIST",
    paper_setting="MLP of 800 ReLU units on 1,000 images of MNIST, η = 1, momentum .9, with and without L2.",
    our_setting=f"""
        {_noise_grid.SETTING} η = .1, m = .9, B = 32, 64 and 256, λ = 0, .003, .01 on the mean loss
        (smoke: not tested; full: also .0001 and .001).
    """,
    statistic="""
        Test accuracy at the best B minus that at B = 256, seed by seed, without L2; and that minus the same
        at the largest λ. The one that is least shown.
    """,
    threshold=f"Both above 0: t-tests over seeds, one-sided, Holm at level {LEVEL:g}.",
    reason="The null is no gap, and a gap that λ leaves as it is.",
    control="The same after the accuracies of each seed are dealt out anew to λ and B.",
    check=check,
)
