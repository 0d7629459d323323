"""How long SGD stays in a minimum: exponential in the barrier, and in the sharpness only if the noise is.

Escapes are counted or, where they are rare, split into levels, down to 1e-12 a step, and compared with the
exact mean time of the chain. With white noise τ ∝ exp(ΔL/D), D = ησ²/(2B), and a minimum that is k times
sharper, L(√k x), is left k times faster, no more. With noise of the covariance of the curvature D ∝ k,
and ln τ grows as 1/k. The animation shows how counting works: chains that leave are put back.
"""

import jax
import numpy as np
from common import finish, options, table
from jax.tree_util import Partial
from matplotlib.animation import PillowWriter

import sde_sgd as ss
from sde_sgd import escape

BLUE, RED, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
COLOURS = {"white": GREEN, "curvature": RED}
# of the double well: η, where it is left, and the ΔL/D for either estimator
RATE, BORDER = 0.05, 0.5
COUNTED, SPLIT = (3.0, 4.0, 5.0, 6.0, 7.0), (10.0, 13.0, 16.0, 20.0, 24.0)
# of the parabolas: η, ΔL, and 1/k with white noise and, by either estimator, with that of the curvature
SMALL_RATE, LOW_BARRIER = 0.04, 0.1
WHITE, SHARP, FLAT = (0.55, 0.85, 1.35, 1.9, 2.4), (0.5, 0.75, 1.0, 1.25), (1.7, 2.1, 2.5)


def main() -> None:
    """Run, print the table, draw the figure and the animation."""
    args = options(__doc__)
    keys = jax.random.split(jax.random.key(args.seed), 7)
    chains, exits, paths = (1_000, 500, 4_096) if args.quick else (2_000, 3_000, 16_384)
    estimators = {
        "counting": {"chains": chains, "exits": exits, "progress": False},
        "splitting": {"by": "splitting", "chains": paths},
    }
    figure, axes = ss.plot.figure(2, 3, width=4.4, height=2.6, height_ratios=(3, 1))
    axes[1, 0].remove()
    axes[0, 0].set_subplotspec(axes[0, 0].get_gridspec()[:, 0])
    ways_over_a_landscape(axes[0, 0], keys[0])
    rows = against_the_barrier(axes[:, 1], args.quick, estimators, keys[1:3])
    rows += against_sharpness(axes[:, 2], args.quick, estimators, keys[3:6])
    figure.suptitle("Escape from a minimum: marks are SGD with 95 % intervals, solid lines the exact chain")
    table(
        "mean time of escape in steps, and the exact mean first passage of the chain at this η",
        ["loss", "noise", "ΔL/D", "1/k", "by", "τ", "exact", "τ/exact", "95 % interval"],
        rows,
    )
    print("  The work of splitting grows with ln τ, that of counting with τ.")
    animate(args.out / "escape_from_a_minimum.gif", args.quick, keys[6])
    finish(figure, args.out / "escape_from_a_minimum.png")


def ways_over_a_landscape(axes, key) -> None:
    """On Müller and Brown's surface, from the last visit of the deepest minimum to the first of the next."""
    plane = ss.problems.MullerBrown(noise_variance=200.0)
    start, _, end = (np.asarray(at) for at in plane.minima())
    result = ss.run(
        ss.SGD(plane, ss.Hyperparameters(0.002)), chains=200, steps=5_000, key=key, initial=start,
        stop=lambda at: ((at - end) ** 2).sum() < 0.03, record={"at": lambda at: at}, every=1, progress=False,
    )  # fmt: skip
    bounds = (-1.8, 0.9), (-0.5, 2.0)
    ss.plot.landscape(plane, bounds=bounds, ceiling=1.6, ax=axes)
    left = np.flatnonzero(result.stopped_at >= 0)[:4]
    for chain, colour in zip(left, (BLUE, RED, GREEN, PINK), strict=False):
        path = result.record["at"][: result.stopped_at[chain] + 1, chain]
        near = np.linalg.norm(path - start, axis=1) < 0.15
        x, y = path[np.flatnonzero(near)[-1] :].T
        axes.plot(x, y, color=colour, lw=1.2)
        axes.plot(x[-1], y[-1], "o", color=colour, ms=6, mec="black")
    axes.set(title="ways out (Müller-Brown)", xlim=bounds[0], ylim=bounds[1])


def beyond(border, x):
    """Whether a chain has left."""
    return x > border


def place(x):
    """How far out it is."""
    return x


def double_well(height) -> escape.Well:
    """With white noise for which ΔL/D is `height`."""
    problem = ss.problems.DoubleWell(noise_variance=2 * 0.25 / (height * RATE))
    return escape.Well(problem, -1.0, Partial(beyond, BORDER), climb=place)


def parabolas(flatness, noise) -> escape.Well:
    """L(√k x) with k = 1/`flatness`, and noise of variance 1 or of the curvature."""
    curvature = 1 / flatness
    problem = ss.problems.MatchedParabolas(
        well_curvature=curvature, barrier_curvature=curvature, barrier_height=LOW_BARRIER
    )
    if noise == "curvature":
        problem = ss.problems.with_curvature_noise(problem)
    return escape.Well(problem, 0.0, Partial(beyond, 1.5 * problem.barrier_position), climb=place)


def ends(values, quick) -> tuple[float, ...]:
    """All values, or the first and the last."""
    return values[:: len(values) - 1] if quick else values


def exact_steps(well, rate) -> float:
    """The mean first passage of the chain."""
    (border,) = well.outside.args
    passage = ss.theory.chain_passage_time(
        well.problem, ss.Hyperparameters(rate), target=border, start=well.start
    )
    return passage.steps


def against_the_barrier(axes, quick, estimators, keys) -> list[list[str]]:
    """The double well's τ over ΔL/D."""
    hyper = ss.Hyperparameters(RATE)
    rows, exact = [], {}
    for by, heights, mark, key in (
        ("counting", ends(COUNTED, quick), "o", keys[0]),
        ("splitting", ends(SPLIT, quick), "s", keys[1]),
    ):
        found = escape.rates(
            ss.SGD, double_well, parameters={"height": heights}, learning_rate=RATE, key=key, **estimators[by]
        )
        times = {height: exact_steps(double_well(height), RATE) for height in heights}
        cells = draw(axes, times, found, fmt=mark, color=BLUE, label=by)
        for height, told in zip(heights, cells, strict=True):
            rows.append(["double well", "white", f"{height:g}", "-", by, *told])
        exact |= times
    axes[0].plot(*zip(*exact.items(), strict=True), color=BLUE, lw=1.4)
    wells = [double_well(height).problem for height in exact]
    kramers = [ss.theory.kramers(well, hyper, minimum=-1.0, saddle=0.0).steps for well in wells]
    draw_formula(axes, exact, kramers, "Kramers")
    axes[0].set(title=f"double well, white noise, η = {RATE:g}", ylabel="mean time of escape τ (steps)")
    finish_axes(axes, "barrier over noise, ΔL/D")
    return rows


def against_sharpness(axes, quick, estimators, keys) -> list[list[str]]:
    """The parabolas' τ over 1/k, with white noise and with noise of the curvature."""
    height = 2 * LOW_BARRIER / SMALL_RATE
    rows, exact = [], {"curvature": {}, "white": {}}
    for noise, by, flat, mark, key in (
        ("white", "counting", ends(WHITE, quick), "o", keys[0]),
        ("curvature", "counting", ends(SHARP, quick), "o", keys[1]),
        ("curvature", "splitting", ends(FLAT, quick), "s", keys[2]),
    ):
        found = escape.rates(
            ss.SGD, parabolas, parameters={"flatness": flat, "noise": [noise]}, learning_rate=SMALL_RATE,
            key=key, **estimators[by],
        )  # fmt: skip
        times = {one: exact_steps(parabolas(one, noise), SMALL_RATE) for one in flat}
        cells = draw(axes, times, found, fmt=mark, color=COLOURS[noise])
        for one, told in zip(flat, cells, strict=True):
            barrier = height * (one if noise == "curvature" else 1)
            rows.append(["parabolas", noise, f"{barrier:g}", f"{one:g}", by, *told])
        exact[noise] |= times
    for noise, law in (("curvature", "ln τ ∝ 1/k"), ("white", "τ ∝ 1/k")):
        line = zip(*exact[noise].items(), strict=True)
        axes[0].plot(*line, color=COLOURS[noise], lw=1.4, label=f"{noise} noise: {law}")
    theory = [diffusion_theory(1 / one) for one in exact["curvature"]]
    draw_formula(axes, exact["curvature"], theory, "diffusion theory")
    axes[0].set(title=f"k times sharper, L(√k x), η = {SMALL_RATE:g}")
    finish_axes(axes, "one over sharpness, 1/k")
    return rows


def diffusion_theory(curvature) -> float:
    """Xie, Sato and Sugiyama's time in steps; for equal curvatures that of Itô's reading too."""
    found = ss.theory.diffusion_theory(
        ss.Hyperparameters(SMALL_RATE),
        well_curvature=curvature,
        barrier_curvature=curvature,
        barrier_height=LOW_BARRIER,
    )
    return found.printed_steps


def draw(axes, exact, found, **style) -> list[list[str]]:
    """Times with intervals, below them their ratios to the exact ones; returns cells of the table."""
    steps, low, high = (1 / found[name].values.ravel() for name in ("rate", "high", "low"))
    errors = np.stack([steps - low, high - steps])
    times = np.asarray(list(exact.values()))
    axes[0].errorbar(list(exact), steps, errors, ms=5, capsize=2, **style)
    axes[1].errorbar(list(exact), steps / times, errors / times, ms=4, capsize=2, **style)
    return [
        [f"{one:.4g}", f"{time:.4g}", f"{one / time:.3f}", f"{least / time:.3f} to {most / time:.3f}"]
        for one, time, least, most in zip(steps, times, low, high, strict=True)
    ]


def draw_formula(axes, exact, formula, label) -> None:
    """A formula for the time, dotted, and its ratio to the exact one."""
    style = {"color": "black", "lw": 1.3, "ls": ":"}
    axes[0].plot(list(exact), formula, label=label, **style)
    axes[1].plot(list(exact), np.asarray(formula) / list(exact.values()), **style)


def finish_axes(axes, name) -> None:
    """Scales and names of a column."""
    axes[0].set_yscale("log")
    axes[0].legend(fontsize=9.5, loc="upper left", frameon=False)
    axes[0].tick_params(labelbottom=False)
    axes[1].sharex(axes[0])
    axes[1].axhline(1.0, color="grey", lw=0.8)
    axes[1].set(xlabel=name, ylabel="τ / exact", ylim=(0.7, 1.3))


def animate(path, quick, key) -> None:
    """Chains of the double well, their exits, and how many were to be expected."""
    frames, chains, steps, burn_in = (12 if quick else 90), 500, 3, 150
    well = double_well(COUNTED[0])
    sgd = ss.SGD(well.problem, ss.Hyperparameters(RATE))
    process = escape.Renewal(sgd, start=well.start, outside=well.outside, burn_in=burn_in)
    given = {"chains": chains, "key": key, "progress": False}
    result = ss.run(process, steps=burn_in, initial=well.start, **given)
    clock = np.arange(frames + 1) * steps
    expected = clock * chains / exact_steps(well, RATE)
    figure, (landscape, counts) = stage(well, clock, expected)
    landscape.set_title(f"{chains} chains of SGD, ΔL/D = {COUNTED[0]:g}")
    # each at a height of its own over the loss, so that they do not hide each other
    lift = 0.012 + 0.09 * np.random.default_rng(0).random(chains)
    border = np.full(chains, BORDER), float(well.problem.loss(BORDER)) + lift
    inside = landscape.scatter(*border, s=9, color=BLUE, lw=0)
    back, exits = (landscape.scatter(*border, color=RED, lw=0) for _ in range(2))
    (count,) = counts.plot([], [], color=RED, lw=2, drawstyle="steps-post", label="counted")
    counts.legend(fontsize=9.5, loc="upper left", frameon=False)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = PillowWriter(fps=15)
    total, fresh = [0], np.zeros(chains)
    with writer.saving(figure, path, dpi=80):
        for _ in range(frames):
            before = result.state.extra.number
            result = ss.run(process, steps=steps, initial=result, **given)
            left = np.asarray(result.state.extra.number > before)
            fresh = np.where(left, 1.0, np.maximum(fresh - 0.1, 0.0))
            total.append(int(result.state.extra.number.sum()))
            at = np.stack([result.theta, jax.vmap(well.problem.loss)(result.theta) + lift], axis=1)
            inside.set_offsets(at)
            back.set_offsets(at)
            back.set_sizes(30 * fresh)
            exits.set_sizes(60 * fresh)
            count.set_data(clock[: len(total)], total)
            writer.grab_frame()
    print(f"\nanimation: {path}, {total[-1]} exits where {expected[-1]:.1f} are expected")


def stage(well, clock, expected):
    """A figure with what does not move: the loss, and the exits to be expected; returns it and its axes."""
    figure, axes = ss.plot.figure(1, 2, width=4.4, height=3.4)
    ss.plot.landscape(well.problem, bounds=(-1.7, 0.8), ax=axes[0])
    axes[0].axvline(BORDER, color="grey", lw=0.8, ls="--")
    axes[0].text(BORDER + 0.03, 0.52, "outside:\nput back", fontsize=9)
    axes[0].set(xlabel="x", ylabel="loss L(x)", ylim=(-0.03, 0.6))
    spread = expected**0.5
    axes[1].fill_between(clock, expected - spread, expected + spread, color="black", alpha=0.12, lw=0)
    axes[1].plot(clock, expected, color="black", lw=1.2, label="exact rate × time, ± 1 SD")
    axes[1].set(title="exits", xlabel="steps", xlim=(0, clock[-1]), ylim=(0, 1.5 * expected[-1]))
    return figure, axes


if __name__ == "__main__":
    main()
