"""The third factor: at fixed η/B the noise of SGD grows with σ², the variance of the gradient.

σ² is varied by itself (isotropic noise on a double well), on data (label noise, data set, unit of the
weights) and on networks (drawn labels in place of mean ones, which leaves L(θ) as it is), and measured.
Thresholds, set before any run:

- Double well: ⟨L⟩ of SGD and of the SDE at σ² = 4, 8, 16, and at σ² = 16 with η/B halved, within what an
  error of a tenth in the temperature T = ησ²/B would do, by quadrature of exp(−2L/T); level .01 for all arms.
- Softmax regression: the loss that SGD adds to the minimum within 25 % of (η/4B) Tr C in all arms, C measured
  at the minimum; level .01 for all. (Tr C varies by more than a factor of ten. Left out are finite η, about
  ηh₁/2 = .08, and the change of C over the cloud, of order T.)
- Networks: where η/B is divided by the ratio of measured Tr C, more than half of the effect of the drawn
  labels on the training loss curve is gone (if σ² is what counts, all of it); level .05 by bootstrap.
- Control: the same test of the regressions with σ² left out, one number (η/4B)·(geometric mean of Tr C).
"""

from typing import Any

import jax
import numpy as np
from scipy import stats

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.three_factors import _noise_arms
from paper_checks.three_factors._distance import distance
from paper_checks.three_factors._noise_arms import Arm
from paper_checks.three_factors._paper import THREE_FACTORS

RATE = 0.025
WELLS = ((4.0, 1), (8.0, 1), (16.0, 1), (16.0, 2))  # σ², B: T = .1, .2, .4, .2
TIME = 20.0
WARMER = 1.1
TOLERANCE = 0.25
LEVEL = 0.01
SOFT, HARD, RESCALED = "mean labels", "drawn labels", "drawn labels, η/B ÷ ratio of Tr C"
NETWORK = (0.08, 8)


def check(context: Context) -> Outcome:
    """Wells, regressions, networks."""
    wells, drawn = _wells(context)
    arms = [
        _noise_arms.arm(context, *which, chains=context.pick(smoke=32, quick=48, full=512))
        for which in context.pick(smoke=REGRESSIONS[:2], quick=REGRESSIONS, full=REGRESSIONS)
    ]
    middle = float(np.exp(np.mean([np.log(arm.predicted) for arm in arms])))
    data = _regressions("(η/4B) Tr C", arms, [arm.predicted for arm in arms])
    control = _regressions("one number for all σ²", arms, [middle for _ in arms])
    names = context.pick(smoke=("digits",), quick=("digits", "teacher"), full=("digits", "teacher"))
    networks = {name: _network(context, name) for name in names}
    gone = max((one["measurement"] for one in networks.values()), key=lambda one: one.p)
    traces = [arm.trace for arm in arms]
    return Outcome(
        measurements=(wells, data, gone),
        control=control,
        summary=(
            f"At one η/B the loss above the minimum follows the measured gradient variance over a factor of "
            f"{max(traces) / min(traces):.0f}, within {abs(data.estimate):.0%}; on networks dividing η/B by "
            f"it undoes {gone.estimate:.0%} of its effect or more."
        ),
        figure=_draw(drawn, arms, networks),
    )


REGRESSIONS = (
    ("breast cancer", 0.0, 1.0),
    ("breast cancer", 0.5, 1.0),
    ("breast cancer", 0.5, 0.5),
    ("wine", 0.5, 1.0),
    ("digits", 0.0, 1.0),
    ("digits", 0.5, 0.5),
)


def _wells(context: Context) -> tuple[Measurement, dict[str, Any]]:
    """⟨L⟩ of SGD and the SDE against quadrature, in units of what a tenth of the temperature does."""
    chains = context.pick(smoke=100_000, quick=200_000, full=10_000_000)
    found: list[tuple[float, float]] = []
    drawn: dict[str, Any] = {"SGD": [], "SDE": [], "Gibbs": []}
    for variance, batch in WELLS:
        well = ss.problems.DoubleWell(noise_variance=variance)
        hyper = ss.Hyperparameters(RATE, batch)
        gibbs = context.gibbs(well, hyper)
        warm = context.gibbs(well, ss.Hyperparameters(WARMER * RATE, batch))
        expected = gibbs.expectation(well.loss)
        unit = abs(warm.expectation(well.loss) - expected)
        drawn["Gibbs"].append(expected)
        for name, process in (
            ("SGD", context.sgd(well, hyper)),
            ("SDE", context.langevin(well, hyper, substeps=2)),
        ):
            result = context.run(
                f"well {variance:g} {batch} {name}", process, chains=chains, steps=round(TIME / RATE)
            )
            losses = np.asarray(jax.vmap(well.loss)(result.samples()), np.float64)
            error = losses.std(ddof=1) / np.sqrt(len(losses))
            found.append(((losses.mean() - expected) / unit, error / unit))
            drawn[name].append(losses.mean())
    deviations, errors = np.array(found).T
    p = stats.norm.sf((1 - abs(deviations)) / errors) * len(found)
    at = int(np.argmax(abs(deviations) + 3 * errors))
    measured = Measurement(
        name="double well, ⟨L⟩ − Gibbs in units of a tenth of T, worst of 8 arms",
        estimate=float(deviations[at]),
        standard_error=float(errors[at]),
        n=chains * len(found),
        p=float(min(p[at], 1.0)),
        threshold=f"all within ± 1, by two one-sided tests at level {LEVEL:g}",
        met=bool(p[at] < LEVEL),
    )
    return measured, drawn


def _regressions(name: str, arms: list[Arm], predicted: list[float]) -> Measurement:
    """The largest relative deviation of the added loss from a prediction."""
    expected = np.array(predicted)
    deviations = np.array([arm.excess for arm in arms]) / expected - 1
    errors = np.array([arm.error for arm in arms]) / expected
    freedom = arms[0].chains - 1
    p = stats.t.sf((TOLERANCE - abs(deviations)) / errors, freedom) * len(arms)
    at = int(np.argmax(abs(deviations) + 3 * errors))
    return Measurement(
        name=f"regressions, added loss over {name} − 1, worst of {len(arms)}: {arms[at].name}",
        estimate=float(deviations[at]),
        standard_error=float(errors[at]),
        n=sum(arm.chains for arm in arms),
        p=float(min(p[at], 1.0)),
        threshold=f"all within ± {TOLERANCE:.0%}, by two one-sided tests at level {LEVEL:g}",
        met=bool(p[at] < LEVEL),
    )


def _network(context: Context, name: str) -> dict[str, Any]:
    """Training loss with mean labels, drawn ones, and drawn ones with η/B divided by the ratio of Tr C."""
    size, seeds = context.pick(smoke=(80, 12), quick=(320, 16), full=(1280, 64))
    hidden = context.pick(smoke=(16,), quick=(32,), full=(64, 64))
    time = context.pick(smoke=120.0, quick=160.0, full=600.0)
    data = (
        ss.data.digits(size)
        if name == "digits"
        else ss.data.teacher(size, key=jax.random.key(43), hidden=(32,), gain=1.0, test_size=10)
    )
    soft, hard = _noise_arms.same_loss(data, hidden)
    rate, batch = NETWORK
    steps = round(time / rate)

    def curves(label: str, problem: Any, batch: int) -> ss.Result:
        return context.run(
            f"{name} {label}",
            context.sgd(problem, ss.Hyperparameters(rate, batch)),
            chains=seeds,
            steps=steps,
            every=steps // 20,
            record={"loss": problem.loss},
        )

    found = {SOFT: curves(SOFT, soft, batch), HARD: curves(HARD, hard, batch)}
    few = jax.tree.map(lambda leaf: leaf[:4], found[SOFT].theta)
    ratio = _noise_arms.covariance_trace(hard, few) / _noise_arms.covariance_trace(soft, few)
    found[RESCALED] = curves(RESCALED, hard, round(ratio * batch))
    losses = {label: result.record["loss"].T[:, 1:] for label, result in found.items()}
    both = {
        label: distance(losses[label], losses[SOFT], key=context.key_for(f"{name} distance"))
        for label in (HARD, RESCALED)
    }
    share = 1 - both[RESCALED].value / both[HARD].value
    error = np.hypot(both[RESCALED].error, (1 - share) * both[HARD].error) / both[HARD].value
    p = float(stats.norm.sf((share - 0.5) / error))
    measured = Measurement(
        name=f"network, part of the effect of Tr C × {ratio:.1f} that η/B ÷ {ratio:.1f} undoes: {name}",
        estimate=float(share),
        standard_error=float(error),
        n=3 * seeds,
        p=p,
        threshold="above ½, at level 0.05",
        met=p < 0.05,
    )
    return {"measurement": measured, "losses": losses, "ratio": ratio, "times": time * np.arange(1, 21) / 20}


def _draw(wells: dict[str, Any], arms: list[Arm], networks: dict[str, Any]) -> Any:
    figure, (left, middle, right) = ss.plot.figure(1, 3, width=4.6, height=3.9)
    temperatures = np.array([RATE * variance / batch for variance, batch in WELLS])
    order = np.argsort(temperatures)
    left.plot(temperatures[order], np.array(wells["Gibbs"])[order], "k-", lw=1.3, label="Gibbs, exp(−2L/T)")
    for name, marker, colour in (("SGD", "o", "#0072B2"), ("SDE", "s", "#D55E00")):
        left.plot(temperatures, wells[name], marker, color=colour, mfc="none", ms=8, label=name)
    for (variance, batch), x, y in zip(WELLS, temperatures, wells["SGD"], strict=True):
        side = (8, -14) if batch == 1 else (-8, 10)
        left.annotate(
            f"σ² = {variance:g}, B = {batch}",
            (x, y),
            side,
            textcoords="offset points",
            fontsize=8,
            ha="left" if batch == 1 else "right",
        )
    left.set_xlabel("T = ησ²/B")
    left.set_ylabel("⟨L⟩")
    left.set_xlim(0, 0.55)
    left.set_ylim(0.02, None)
    left.set_title("double well: σ² acts through T")
    left.legend(fontsize=9)

    traces = np.array([arm.trace for arm in arms])
    line = np.array([traces.min() / 1.5, traces.max() * 1.5])
    middle.plot(line, _noise_arms.RATE / (4 * _noise_arms.BATCH) * line, "k-", lw=1.3, label="(η/4B) Tr C")
    for data, colour in (("breast cancer", "#CC79A7"), ("wine", "#009E73"), ("digits", "#0072B2")):
        chosen = [arm for arm in arms if arm.name.startswith(data)]
        if chosen:
            middle.errorbar(
                [arm.trace for arm in chosen],
                [arm.excess for arm in chosen],
                [2 * arm.error for arm in chosen],
                fmt="o",
                color=colour,
                label=f"{data} ± 2 SE",
            )
    middle.set_xscale("log")
    middle.set_yscale("log")
    middle.set_xlabel("measured Tr C at the minimum")
    middle.set_ylabel("⟨L⟩ − minimum")
    middle.set_title("regressions at one η/B")
    middle.legend(fontsize=9)

    name, one = next(iter(networks.items()))
    for label, colour, style in (
        (SOFT, "#0072B2", "-"),
        (HARD, "#D55E00", "-"),
        (RESCALED, "black", "--"),
    ):
        rows = one["losses"][label]
        mean, spread = rows.mean(axis=0), rows.std(axis=0, ddof=1)
        text = f"{HARD}, η/B ÷ {one['ratio']:.1f}" if label == RESCALED else label
        right.plot(one["times"], mean, style, color=colour, lw=1.8, label=text)
        right.fill_between(one["times"], mean - spread, mean + spread, color=colour, alpha=0.15, lw=0)
    right.set_xlabel("t = ηk")
    right.set_ylabel("training loss, the same function for all")
    right.set_title(f"network, {name}: Tr C × {one['ratio']:.1f} by drawn labels")
    right.legend(fontsize=9)
    return figure


CARD = THREE_FACTORS.at("section 3: the three factors are η, B and the gradient variance σ²").card(
    claim="""
        At fixed η/B it is the gradient variance σ² that sets the noise: only ησ²/B counts, whatever
        changes σ².
    """,
    data="breast cancer, wine, digits, teacher data; a double well",
    paper_setting="Theory; σ² not varied in experiments.",
    our_setting="""
        Double well with isotropic σ² = 4 to 16, η = .025, 2·10⁵ chains. Softmax regression (l2 = .05, η =
        .05, B = 16, 48 chains) on breast cancer, wine and digits, 0 or 50 % random labels, inputs × 1 or
        ½. tanh networks on digits and teacher data, N = 320, each input once with the mean of four labels
        or four times with one of them (half of the labels drawn at random), η = .08, B = 8, t = 160, 16
        seeds (smoke: 10⁵ chains, two regressions of 32 chains, digits, N = 80, t = 120, 12 seeds; full:
        10⁷ and 512 chains, N = 1280, t = 600, 64 seeds).
    """,
    statistic="""
        ⟨L⟩ on the well; loss added to the minimum over (η/4B) Tr C; the part of the distance of training
        loss curves that dividing η/B by the ratio of Tr C undoes. The worst of all arms.
    """,
    threshold="""
        ± what a tenth of T does; ± 25 %; above ½. All arms together at level .01, .01 and .05.
    """,
    reason="""
        Theory: Gibbs by quadrature; Tr HΣ = (η/2B) Tr C from the Lyapunov equation. The wrong factor 2 in T
        is ten times the first margin; Tr C varies by more than ten times between the arms.
    """,
    control="The same test of the same regressions with σ² left out: one number for all arms.",
    check=check,
)
