"""The first ten lines: SGD, its SDE and the Gibbs law on a double well."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from sde_sgd import plot, theory
from sde_sgd._platform._cpu import use_cpu
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems import DoubleWell
from sde_sgd.processes import SGD, Langevin
from sde_sgd.simulation import run
from sde_sgd.statistics import Comparison, compare

# Wells are hardly left within the run: starts are symmetric, so that they are equally full up to chance.
_STEPS = 4_000
# False alarms of the two comparisons; the finite η moves SGD by .004 in KS distance, which 20,000 chains
# tell in one run of 400, and a million always.
_LEVEL = 1e-4


@dataclass(frozen=True)
class Demo:
    """What came out.

    Attributes:
        found: "SGD" and "SDE" → how they compare with Gibbs.
        diverged: chains of both that did.
        figure: where it was written.
        seconds: of all.
    """

    found: dict[str, Comparison]
    diverged: int
    figure: Path
    seconds: float

    @property
    def as_it_should(self) -> bool:
        """Whether no chain diverged and neither process is told from Gibbs."""
        return not self.diverged and all(one.same for one in self.found.values())

    def content(self) -> dict[str, Any]:
        """As plain values."""
        each = {
            name: {
                "verdict": one.verdict,
                "ks": one.ks,
                "ks_error": one.ks_error,
                "p": one.ks_p,
                "wasserstein": one.w1,
                "variance_ratio": one.variance_ratio,
                "n": one.n,
            }
            for name, one in self.found.items()
        }
        told = {"figure": str(self.figure), "seconds": round(self.seconds, 2), "diverged": self.diverged}
        return {"as_it_should": self.as_it_should, "compared_with": "Gibbs", **each, **told}

    def __str__(self) -> str:
        parts = [f"{name} and exp(−2L/T): {one}" for name, one in self.found.items()]
        lost = f"{self.diverged} chains diverged. " if self.diverged else ""
        end = "As it should be." if self.as_it_should else "This is not as it should be."
        return "\n".join([*parts, f"figure: {self.figure}", f"{lost}{end} {self.seconds:.0f} s."])


def demo(folder: str | Path, *, chains: int = 20_000, seed: int = 0) -> Demo:
    """Run SGD and its SDE on a double well, compare both with Gibbs and draw the three.

    Args:
        folder: of the figure, made if it is not there.
        chains: of each process.
        seed: of the random numbers.

    Returns:
        `Demo`. Print it.

    Raises:
        OSError: if the figure cannot be written.
        ImportError: without matplotlib.
    """
    began = time.monotonic()
    path = Path(folder) / "wells.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    # where JAX is in use already, with the devices that it has
    with contextlib.suppress(ValueError):
        use_cpu()
    well = DoubleWell(noise_variance=1.0)
    hyper = Hyperparameters(learning_rate=0.05, batch_size=1)
    keys = jax.random.split(jax.random.key(seed))
    sgd = run(SGD(well, hyper), chains=chains, steps=_STEPS, key=keys[0], progress=False)
    sde = run(Langevin(well, hyper), chains=chains, steps=_STEPS, key=keys[1], progress=False)
    gibbs = theory.gibbs(well, hyper)
    plot.save(plot.histograms(SGD=sgd, SDE=sde, Gibbs=gibbs), path)
    return Demo(
        {"SGD": compare(sgd, gibbs, level=_LEVEL), "SDE": compare(sde, gibbs, level=_LEVEL)},
        sgd.diverged + sde.diverged,
        path,
        time.monotonic() - began,
    )
