"""Isotropic noise: SGD and its SDE settle in exp(−2BL/(ησ²)).

On a double well, at one η/B. Thresholds, set before any run:

- All margins are what an error of a tenth in the temperature would do: a KS distance of .009, a change of
  .0047 in ⟨L⟩ = .0572 (by quadrature). The classic mistake, T for T/2, is an error of a factor 2.
- SDE, and SGD at the finest η: "closer to Gibbs than the margin" is claimed only where the distance of the
  sample plus the Dvoretzky-Kiefer-Wolfowitz band at level .01 is below it, which holds for any law and n.
- SGD as η → 0: its ⟨L⟩ at three η is extrapolated by the parabola through them, which leaves O(η³); two
  one-sided tests at level .01 must put the limit within the margin.
"""

from typing import Any

import jax
import numpy as np
from scipy import stats

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.three_factors._paper import THREE_FACTORS

VARIANCE = 8.0
ARMS = {0.1: 4, 0.05: 2, 0.025: 1}  # η: B, so that T = ησ²/B = .2
SDE_ARM = 0.05
TIME = 20.0  # SDE time: e⁻³⁰ of the way in a well; starts are symmetric
MARGIN = 1.1  # error of temperature that counts as one
LEVEL = 0.01


def check(context: Context) -> Outcome:
    """Run SGD at three η and the SDE, compare with quadrature."""
    chains = context.pick(smoke=400_000, quick=2_000_000, full=20_000_000)
    sgd = {rate: _run(context, f"sgd {rate}", context.sgd(_well(), _hyper(rate)), chains) for rate in ARMS}
    fine = context.langevin(_well(), _hyper(SDE_ARM), substeps=2)
    sde = _run(context, "sde", fine, context.pick(smoke=200_000, quick=500_000, full=5_000_000))

    gibbs = context.gibbs(_well(), _hyper(SDE_ARM))
    warmer = context.gibbs(_well(), _hyper(SDE_ARM, MARGIN))
    mistake = context.gibbs(_well(), _hyper(SDE_ARM, 2.0))  # exp(−L/T)
    margin = _distance(gibbs, warmer)
    shift = abs(warmer.expectation(_well().loss) - gibbs.expectation(_well().loss))

    finest = min(ARMS)
    found = {rate: ss.statistics.compare(result, gibbs) for rate, result in sgd.items()}
    found_sde = ss.statistics.compare(sde, gibbs)
    main = _close("KS distance, SDE to Gibbs", found_sde, margin)
    near = _close(f"KS distance, SGD at η = {finest:g} to Gibbs", found[finest], margin)
    control = _close("KS distance, SDE to exp(−L/T)", ss.statistics.compare(sde, mistake), margin)
    excess = {rate: _excess(result, gibbs) for rate, result in sgd.items()}
    limit = _limit(excess, shift, chains)
    figure, right = _draw(sgd[max(ARMS)], sde, gibbs, mistake)
    _draw_distances(right, found, found_sde, margin, _distance(gibbs, mistake))
    return Outcome(
        measurements=(main, limit, near, _exponent(excess, chains)),
        control=control,
        summary=(
            f"The SDE is within {main.estimate:.4f} of Gibbs and SGD within "
            f"{near.estimate / finest:.2f} η, in KS distance; exp(−L/T) is {control.estimate:.3f} away."
        ),
        figure=figure,
    )


def _well() -> ss.problems.DoubleWell:
    return ss.problems.DoubleWell(noise_variance=VARIANCE)


def _hyper(rate: float, warmer: float = 1.0) -> ss.Hyperparameters:
    return ss.Hyperparameters(learning_rate=warmer * rate, batch_size=ARMS[rate])


def _distance(one: ss.theory.Density1D, other: ss.theory.Density1D) -> float:
    """KS distance of two laws."""
    return float(np.abs(one.cdf(one.grid) - other.cdf(one.grid)).max())


def _run(context: Context, name: str, process: Any, chains: int) -> ss.Result:
    rate = float(process.hyper.learning_rate)
    return context.run(name, process, chains=chains, steps=round(TIME / rate))


def _close(name: str, found: ss.statistics.Comparison, margin: float) -> Measurement:
    """Is a sample's law closer than the margin? p is that of a law at the margin, by the same band."""
    band = np.sqrt(np.log(2 / LEVEL) / (2 * found.n))
    room = max(margin - found.ks, 0.0)
    return Measurement(
        name=name,
        estimate=found.ks,
        standard_error=found.ks_error,
        n=found.n,
        p=float(min(1.0, 2 * np.exp(-2 * found.n * room**2))),
        threshold=f"with its {1 - LEVEL:.0%} band ± {band:.4f} below {margin:.4f}",
        met=bool(found.ks + band < margin),
    )


def _excess(result: ss.Result, gibbs: ss.theory.Density1D) -> tuple[float, float]:
    """⟨L⟩ − ⟨L⟩ of Gibbs and its standard error."""
    losses = np.asarray(jax.vmap(_well().loss)(result.samples()), np.float64)
    return losses.mean() - gibbs.expectation(_well().loss), losses.std(ddof=1) / np.sqrt(len(losses))


def _limit(excess: dict[float, tuple[float, float]], margin: float, chains: int) -> Measurement:
    """The parabola through the excesses, at η = 0."""
    rates = np.array(list(excess))
    weights = np.linalg.solve(np.vander(rates, 3, increasing=True).T, np.array([1.0, 0.0, 0.0]))
    values, errors = np.array(list(excess.values())).T
    estimate, error = float(weights @ values), float(np.sqrt(weights**2 @ errors**2))
    p = float(stats.norm.sf((margin - abs(estimate)) / error))
    return Measurement(
        name="⟨L⟩ of SGD − Gibbs, extrapolated to η = 0",
        estimate=estimate,
        standard_error=error,
        n=chains * len(excess),
        p=p,
        threshold=f"within ± {margin:.4f}, by two one-sided tests at level {LEVEL:g}",
        met=p < LEVEL,
    )


def _exponent(excess: dict[float, tuple[float, float]], chains: int) -> Measurement:
    """The power of η in the excess, by weighted least squares of the logarithms."""
    values, errors = np.array(list(excess.values())).T
    estimate = error = float("nan")
    if (values > 0).all():
        x, weight = np.log(list(excess)), (values / errors) ** 2
        x = x - np.average(x, weights=weight)
        error = float(1 / np.sqrt(weight @ x**2))
        estimate = float(weight @ (x * np.log(values)) * error**2)
    return Measurement(
        name="power of η in that excess",
        estimate=estimate,
        standard_error=error,
        n=chains * len(excess),
        threshold="1 for η → 0, a little more at these η",
        met=None,
    )


def _draw(sgd: Any, sde: Any, gibbs: Any, mistake: Any) -> tuple[Any, Any]:
    """The laws, and an empty panel beside them."""
    figure, (left, right) = ss.plot.figure(1, 2, width=5.2, height=3.9)
    named = {f"SGD, η = {max(ARMS):g}": sgd, "SDE": sde, "Gibbs, exp(−2L/T)": gibbs}
    ss.plot.histograms(ax=left, **named)
    left.plot(mistake.grid, mistake.pdf(mistake.grid), ":", color="grey", lw=1.6, label="exp(−L/T)")
    left.set_xlim(-1.9, 1.9)
    left.set_ylim(0, 1.15)
    left.legend(fontsize=9, loc="upper center", ncols=2, frameon=False)
    left.set_title("double well, T = ησ²/B = 0.2")
    return figure, right


def _draw_distances(right: Any, found: dict[float, Any], against: Any, margin: float, wrong: float) -> None:
    """KS distances against η: of SGD, of the SDE, of the rivals."""
    rates = np.array(list(found))
    right.errorbar(
        rates,
        [one.ks for one in found.values()],
        [2 * one.ks_error for one in found.values()],
        fmt="o",
        color="#0072B2",
        label="SGD ± 2 SE",
    )
    line = np.array([rates.min() / 2, rates.max() * 2])
    right.plot(line, 0.108 * line, "-", color="#0072B2", lw=1, label="0.108 η, by theory")
    right.errorbar(
        [SDE_ARM],
        [against.ks],
        [2 * against.ks_error],
        fmt="s",
        color="#D55E00",
        mfc="white",
        label="SDE ± 2 SE",
    )
    for height, style, text in (
        (wrong, ":", "exp(−L/T): factor 2 in T"),
        (margin, "--", "margin: 10 % in T"),
    ):
        right.axhline(height, color="black", ls=style, lw=1.2)
        right.text(line[0] * 1.03, height * 1.06, text, fontsize=9)
    right.axhspan(1e-6, against.ks_null, color="grey", alpha=0.15, lw=0)
    right.text(line[0] * 1.03, against.ks_null / 9, "grey: as samples of Gibbs itself", fontsize=9)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlim(line)
    right.set_ylim(against.ks_null / 10, 0.15)
    right.set_xticks(rates, [f"{rate:g}" for rate in rates], minor=False)
    right.set_xticks([], minor=True)
    right.set_xlabel("learning rate η, at fixed η/B")
    right.set_ylabel("KS distance to Gibbs")
    right.set_title("SGD's distance to Gibbs vanishes with η")
    right.legend(fontsize=9, loc="upper right", bbox_to_anchor=(1, 0.42), frameon=False)


CARD = THREE_FACTORS.at("section 3, the stationary law of equation 7").card(
    claim="With isotropic gradient noise SGD and its SDE settle in exp(−2BL/(ησ²)).",
    data="none: a double well",
    paper_setting="Theory: an SDE with constant, isotropic noise.",
    our_setting="""
        Double well L = (x² − 1)²/4, σ² = 8, η/B = .025, so T = ησ²/B = .2. SGD at (η, B) = (.1, 4),
        (.05, 2), (.025, 1), SDE with steps of .01, .005 or .0025 in time; at time 20; 4·10⁵, 2·10⁶
        or 2·10⁷ chains of SGD and 2·10⁵, 5·10⁵ or 5·10⁶ of the SDE (smoke, quick, full).
    """,
    statistic="""
        Kolmogorov-Smirnov distance to Gibbs by quadrature, of the SDE and of SGD at the finest η;
        and ⟨L⟩ of SGD minus that of Gibbs, extrapolated to η = 0 by the parabola through the three
        η.
    """,
    threshold="""
        Equivalence at level .01: each below what an error of a tenth in T would make, .009 in KS
        distance and .0047 in ⟨L⟩.
    """,
    reason="""
        Effect size: the rival constant, exp(−L/T), is an error of a factor 2 in T. KS distances
        carry the distribution-free Dvoretzky-Kiefer-Wolfowitz band. Theory puts SGD at .108 η,
        hence .0027 at the finest η.
    """,
    control="The same test of the SDE against exp(−L/T), the classic mistake of a factor 2.",
    check=check,
)
