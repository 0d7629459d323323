"""Does the SDE hold for my run of SGD? On digits: one diagnosis in words, and a map of where it holds.

Handwritten digits with a quarter of the training labels redrawn, a 64-32-32-10 tanh network,
cross-entropy. First `diagnose` looks at ways to run SGD: small steps, asked with few chains and with
many, large steps, shuffled epochs, high momentum over few steps. Then one sweep over (η, B), one compiled
program for each B, compares runs of equal η/B after equally many epochs with the one of the smallest η.
"""

import jax
import numpy as np
from common import finish, options, table

import sde_sgd as ss
from sde_sgd import validity

# as in `plot.diagnosis`
ANSWERS = {"yes": "#009E73", "no": "#D55E00", "cannot tell": "#E69F00"}
SHOWN = (1e-2, 1e2)  # in units of the limit


def main() -> None:
    """Diagnose, sweep, draw the figure."""
    args = options(__doc__)
    digits = ss.data.with_label_noise(ss.data.digits(), 0.25, key=jax.random.key(42))
    problem = ss.problems.mlp(digits, hidden=(32, 32))
    keys = iter(jax.random.split(jax.random.key(args.seed), 8))
    # A "yes" has to exclude a fifth in the temperature of every direction, which takes many chains; a "no"
    # is told by few. Shorter pilots look at an earlier part of the run.
    many, few = 256, 48
    pilot_steps = 400 if args.quick else 1000

    small = ss.Hyperparameters(0.02, 2)
    runs = {
        "η = .02, B = 2": (small, "replacement", 4000, many),
        "η = .02, B = 2, 8 chains": (small, "replacement", 4000, 8),
        "η = .32, B = 32": (ss.Hyperparameters(0.32, 32), "replacement", 1000, few),
        "η = .005, B = 8, shuffled": (ss.Hyperparameters(0.005, 8), "shuffle", 4000, few),
        "η = .0004, B = 4, m = .99": (ss.Hyperparameters(0.0004, 4, 0.99), "replacement", 800, few),
    }
    if args.quick:
        runs = dict(list(runs.items())[:3])
    found, rows = {}, []
    for name, (hyper, sampling, steps, chains) in runs.items():
        one = found[name] = validity.diagnose(
            problem,
            hyper,
            steps=steps,
            sampling=sampling,
            chains=chains,
            pilot_steps=pilot_steps,
            key=next(keys),
        )
        along, causes = one.directions, {cause.name: cause for cause in one.causes}
        step_size = causes["step size"].interval
        rows.append(
            [
                name,
                str(one.pilot.chains),
                said(one),
                f"{along.variance_ratio[0]:.2f}",
                f"{along.variance_low[0]:.2f} to {along.variance_high[0]:.2f}",
                f"{step_size.low:.2f} to {step_size.high:.2f}",
                f"{one.seconds:.0f}",
            ]
        )
    first = found[next(iter(runs))]
    print(first)
    table(
        "variance along the sharpest direction over that of the SDE, and where it lies with probability .99",
        ["run", "chains", "SGD follows its SDE", "ratio", "from, to", "step size: effect", "seconds"],
        rows,
    )

    sizes = [2, 4, 8] if args.quick else [2, 4, 8, 16, 32, 64]
    rates = [0.02, 0.08, 0.32] if args.quick else [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56]
    if args.quick:
        sizes = [2, 8, 32]
    diagram = validity.phase_diagram(
        problem,
        learning_rate=rates,
        batch_size=sizes,
        seeds=6 if args.quick else 32,
        epochs=3 if args.quick else 20,
        key=next(keys),
    )
    print(f"\n{diagram}")
    print(f"sweep: {diagram.result.seconds:.1f} s")

    figure, ((causes, temperatures), (compared, plane)) = ss.plot.figure(2, 2, width=5.0, height=3.7)
    ss.plot.diagnosis(first, axes=(causes, temperatures))
    causes.set_title(f"{next(iter(runs))}: {causes.get_title()}")
    draw_runs(found, compared)
    ss.plot.phase_diagram(diagram, ax=plane)
    figure.suptitle("Noisy digits: does the SDE hold, if not why not, and where in the plane of (η, B)?")
    finish(figure, args.out / "does_the_sde_hold.png")


def said(one: validity.Diagnosis) -> str:
    """The answer, and why it is not "yes"."""
    if one.verdict == "yes":
        return "yes"
    worst = one.worst("sde")
    if one.verdict == "no" and worst is not None:
        return f"no: {worst.name}"
    return f"cannot tell: {', '.join(cause.name for cause in one.undecided())}"


def decisive(one: validity.Diagnosis) -> validity.Cause:
    """The effect that the answer hangs on: the worst of a "no", else what may be closest to its limit."""
    worst = one.worst("sde") if one.verdict == "no" else None
    asked = one.undecided() or [cause for cause in one.causes if cause.breaks == "sde"]
    return worst or max(asked, key=lambda cause: cause.interval.high / cause.limit)


def draw_runs(found: dict[str, validity.Diagnosis], axes) -> None:
    """Of each run the effect that decides, in units of its limit, and what it is beside it."""
    names = list(found)[::-1]
    axes.axvline(1.0, color="black", lw=1, ls="--", zorder=0)
    for row, name in enumerate(names):
        one = found[name]
        cause, colour = decisive(one), ANSWERS[one.verdict]
        ends = [value / cause.limit for value in (cause.interval.low, cause.effect, cause.interval.high)]
        low, effect, high = np.clip(ends, *SHOWN)
        axes.plot([low, high], [row, row], "|-", color=colour, lw=2, ms=11, mew=2)
        axes.plot(effect, row, "o", color=colour)
        # beside the axes, where the limit does not cross it
        words = f"{one.verdict}:\n{cause.name}\n{cause.effect:.2g} of {cause.limit:.2g}"
        beside = axes.get_yaxis_transform()
        axes.text(1.02, row, words, transform=beside, color=colour, fontsize=8.5, va="center")
    axes.set_xscale("log")
    axes.set_xlim(*SHOWN)
    axes.set_ylim(-0.5, len(names) - 0.5)
    axes.set_yticks(range(len(names)), [name.replace(", ", ",\n", 1) for name in names], fontsize=9.5)
    axes.set_xlabel("effect that decides, in units of its limit (dashed)\n(from, to: with probability .99)")
    axes.set_title("does SGD follow its SDE?")


if __name__ == "__main__":
    main()
