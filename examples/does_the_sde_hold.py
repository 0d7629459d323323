"""Does the SDE hold for my run of SGD? On digits: one diagnosis in words, and a map of where it holds.

Handwritten digits with a quarter of the training labels redrawn, a 64-32-32-10 tanh network,
cross-entropy. First `diagnose` looks at four ways to run SGD: small steps, large ones, shuffled
epochs, high momentum over few steps. Then one sweep over (η, B), one compiled program for each B,
compares runs of equal η/B after equally many epochs with the one of the smallest η.
"""

import jax
from common import finish, options, table

import sde_sgd as ss
from sde_sgd import validity


def main() -> None:
    """Diagnose, sweep, draw the figure."""
    args = options(__doc__)
    digits = ss.data.with_label_noise(ss.data.digits(), 0.25, key=jax.random.key(42))
    problem = ss.problems.mlp(digits, hidden=(32, 32))
    keys = iter(jax.random.split(jax.random.key(args.seed), 8))
    pilot = {"chains": 8 if args.quick else 24, "pilot_steps": 200 if args.quick else 1000}

    runs = {
        "η = .04, B = 4": (ss.Hyperparameters(0.04, 4), "replacement", 4000),
        "η = .32, B = 32": (ss.Hyperparameters(0.32, 32), "replacement", 1000),
        "η = .005, B = 8, shuffled": (ss.Hyperparameters(0.005, 8), "shuffle", 4000),
        "η = .0004, B = 4, m = .99": (ss.Hyperparameters(0.0004, 4, 0.99), "replacement", 800),
    }
    if args.quick:
        runs = dict(list(runs.items())[:2])
    found, rows = {}, []
    for name, (hyper, sampling, steps) in runs.items():
        one = found[name] = validity.diagnose(
            problem, hyper, steps=steps, sampling=sampling, key=next(keys), **pilot
        )
        worst = one.worst("sde")
        along = one.directions
        ratio = along.measured[0] / along.predicted[0]
        rows.append(
            [
                name,
                "yes" if worst is None else f"no: {worst.name}",
                f"{ratio:.2f} ± {along.measured_error[0] / along.predicted[0]:.2f}",
                f"{along.corrected[0] / along.predicted[0]:.2f}",
                f"{one.seconds:.0f}",
            ]
        )
    first = found[next(iter(runs))]
    print(first)
    table(
        "temperature of the sharpest direction over that of the SDE",
        ["run", "SGD follows its SDE", "measured", "finite η, sampling", "seconds"],
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


def draw_runs(found: dict[str, validity.Diagnosis], axes) -> None:
    """Temperature of the sharpest direction over that of the SDE, with the verdict beside it."""
    names = list(found)[::-1]
    for row, name in enumerate(names):
        one = found[name]
        along, worst = one.directions, one.worst("sde")
        colour = "#009E73" if worst is None else "#D55E00"
        scale = along.predicted[0]
        axes.errorbar(
            along.measured[0] / scale,
            row,
            xerr=2 * along.measured_error[0] / scale,
            fmt="o",
            color=colour,
            capsize=3,
        )
        axes.plot(along.corrected[0] / scale, row, "|", color="black", ms=22, mew=2)
        axes.text(
            0.02, row + 0.27, "yes" if worst is None else f"no: {worst.name}", color=colour, fontsize=10
        )
    axes.axvline(1.0, color="black", lw=1, ls="--")
    axes.set_xlim(0, None)
    axes.set_ylim(-0.6, len(names) - 0.3)
    axes.set_yticks(range(len(names)), [name.replace(", ", ",\n", 1) for name in names], fontsize=9.5)
    axes.set_xlabel(
        "T of the sharpest direction / T of the SDE\n(dot: measured ± 2 SE, bar: finite η and sampling)"
    )
    axes.set_title("does SGD follow its SDE?")


if __name__ == "__main__":
    main()
