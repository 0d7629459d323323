"""The best batch size goes as η.

Thresholds, set before the runs that decide:

- The exponent a of B_opt ∝ η^a within .25 of 1, by two one-sided tests at level .05 over seeds: nearer to
  proportionality than to a square root.
- Control: the same test with the optima dealt out to the η in another order, whose expected exponent is 0.

Plain stability predicts the exponent too: with momentum and minibatches training fails at a B that goes as η,
with no word of generalisation. So the B below which the training loss stays above .1 is measured beside it.
"""

from typing import Any

import sde_sgd as ss
from paper_checks._card import Outcome
from paper_checks._context import Context
from paper_checks.bayesian_sgd import _noise_grid, _optima
from paper_checks.bayesian_sgd._paper import BAYESIAN_SGD


def check(context: Context) -> Outcome:
    """Fit the exponent over the arms of one momentum."""
    if context.scale == "smoke":
        return Outcome.not_tested(_noise_grid.TOO_SMALL)
    arms = _noise_grid.along_rate(_noise_grid.arms(context))
    found = _optima.judged(context, arms, [arm.rate for arm in arms], "η")
    return Outcome(
        measurements=(found.main, *found.others),
        control=found.control,
        summary=(
            f"B_opt goes as η to the power {found.power.exponent:.2f} ± {found.power.error:.2f}; the B "
            f"below which training fails, as η to the power {found.rival.exponent:.2f}."
        ),
        figure=_draw(arms, found),
    )


def _draw(arms: list[_noise_grid.Arm], found: _optima.Found) -> Any:
    figure, axes = ss.plot.figure(1, 2, width=4.8, height=3.9)
    _optima.draw_curves(axes[0], arms, [f"η = {arm.rate:g}" for arm in arms], found)
    _optima.draw_power(axes[1], [arm.rate for arm in arms], found, "η")
    return figure


CARD = BAYESIAN_SGD.at("section 5, figure 5").card(
    claim="The batch size of the highest test accuracy is proportional to the learning rate.",
    data="MNIST",
    paper_setting="MLP of 800 ReLU units on 1,000 images of MNIST, momentum .9, η over two decades.",
    our_setting=f"""
        {_noise_grid.SETTING} η = .0125, .025, .05, .1 (full: also .2, .4 and 1) at m = .9, 7 batch
        sizes each (smoke: not tested).
    """,
    statistic=_optima.STATISTIC.format(x="η"),
    threshold="Within .25 of 1, by two one-sided tests at level .05.",
    reason="The claim's exponent is 1; beyond .25 it is nearer to a square root, ½.",
    control=_optima.CONTROL.format(x="η"),
    check=check,
)
