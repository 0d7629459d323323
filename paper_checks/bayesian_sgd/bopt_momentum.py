"""The best batch size goes as 1/(1 − m).

Thresholds, set before the runs that decide: those of `bopt_eta`, the exponent now in 1/(1 − m). Plain
stability predicts this one too.
"""

from typing import Any

import sde_sgd as ss
from paper_checks._card import Outcome
from paper_checks._context import Context
from paper_checks.bayesian_sgd import _noise_grid, _optima
from paper_checks.bayesian_sgd._paper import BAYESIAN_SGD


def check(context: Context) -> Outcome:
    """Fit the exponent over the arms of one η."""
    if context.scale == "smoke":
        return Outcome.not_tested(_noise_grid.TOO_SMALL)
    arms = _noise_grid.along_momentum(_noise_grid.arms(context))
    found = _optima.judged(context, arms, _inverse(arms), "1/(1 − m)")
    return Outcome(
        measurements=(found.main, *found.others),
        control=found.control,
        summary=(
            f"B_opt goes as 1/(1 − m) to the power {found.power.exponent:.2f} ± {found.power.error:.2f}; "
            f"the B below which training fails, as its power {found.rival.exponent:.2f}."
        ),
        figure=_draw(arms, found),
    )


def _inverse(arms: list[_noise_grid.Arm]) -> list[float]:
    return [1 / (1 - arm.momentum) for arm in arms]


def _draw(arms: list[_noise_grid.Arm], found: _optima.Found) -> Any:
    figure, axes = ss.plot.figure(1, 2, width=4.8, height=3.9)
    _optima.draw_curves(axes[0], arms, [f"m = {arm.momentum:g}" for arm in arms], found)
    _optima.draw_power(axes[1], _inverse(arms), found, "1/(1 − m)")
    return figure


CARD = BAYESIAN_SGD.at("section 5, figure 7").card(
    claim="The batch size of the highest test accuracy is proportional to 1/(1 − m), m the momentum.",
    data="MNIST",
    paper_setting="MLP of 800 ReLU units on 1,000 images of MNIST, η = 1, several m.",
    our_setting=f"""
        {_noise_grid.SETTING} m = .2, .6, .8, .9 (full: also .95) at η = .1, 7 batch sizes each (smoke: not
        tested).
    """,
    statistic=_optima.STATISTIC.format(x="1/(1 − m)"),
    threshold="Within .25 of 1, by two one-sided tests at level .05.",
    reason="The claim's exponent is 1; beyond .25 it is nearer to a square root, ½.",
    control=_optima.CONTROL.format(x="1/(1 − m)"),
    check=check,
)
