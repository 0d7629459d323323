"""The contract of the SDEs: the Brownian motion apart from the law that it drives."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from sde_sgd import _checks, random
from sde_sgd._platform.reading import _traces
from sde_sgd._samplings import is_shuffled
from sde_sgd._types import Count, Sampling
from sde_sgd.hyperparameters import Hyperparameters, finite_population_factor
from sde_sgd.problems._base import Problem
from sde_sgd.processes import _draws
from sde_sgd.processes._base import ChainState, RateSchedule, SingleProcess
from sde_sgd.random import Chains, Stream, Words


class Diffusion(SingleProcess):
    """An SDE that the problem's own Brownian motion drives, in steps of 1/`substeps` of the clock.

    What draws the increments and what uses them are two methods, so that another process, such as
    SGD, can be given the same noise: the sum of the `brownian_part` of the increments of one unit of the
    clock is N(0, I).

    Attributes:
        substeps: solver steps per SGD step.
        population_factor: 1, or (N − B)/(N − 1) for fresh subsets: what C/B is multiplied by.
    """

    substeps: int = eqx.field(static=True)
    population_factor: Float[Array, ""]

    def __init__(
        self,
        problem: Problem,
        hyper: Hyperparameters,
        schedule: RateSchedule | None,
        *,
        substeps: int,
        sampling: Sampling,
    ):
        super().__init__(problem, hyper, schedule)
        self.population_factor = population_factor(problem, hyper, sampling)
        self.substeps = _checks.integer("substeps", substeps, at_least=1)

    @property
    def against_divergence(self) -> str:
        return (
            f"More substeps help, such as substeps={8 * self.substeps}: a step of the solver takes the time "
            f"η/((1 − m) substeps), which must be well below 2/h for a curvature h, and h may be larger on "
            f"the way than at a minimum."
        )

    @property
    def examples_per_gradient(self) -> None:
        return None

    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: Chains) -> ChainState:
        return ChainState(theta, chain, None)

    def streams(self, key: Key[Array, ""]) -> dict[str, Words]:
        return random.streams(
            key, brownian=Stream.BROWNIAN, levy_area=Stream.LEVY_AREA, direction=Stream.DIRECTION
        )

    def increment(
        self, state: ChainState, step: Int[Array, ""], number: Count, words: dict[str, Words]
    ) -> PyTree:
        """The Brownian increment of substep `number` of `step`, N(0, 1/substeps) in each coordinate."""
        here = random.at(words["brownian"], step, number)
        driving = self.problem.driving_noise(_draws.one_chain(state.theta))
        return _draws.normal(here, state.chain, driving, (1.0 / self.substeps) ** 0.5)

    def brownian_part(self, increment: PyTree) -> PyTree:
        """What the Brownian motion itself does in this substep: all of the increment, unless said else."""
        return increment

    def substep(
        self,
        state: ChainState,
        step: Int[Array, ""],
        number: Count,
        words: dict[str, Words],
        brownian: PyTree,
    ) -> ChainState:
        """Substep `number` of `step`, driven by `brownian`, an `increment`: `moved`, with the words found."""
        here = {name: random.at(key, step, number) for name, key in words.items()}
        return self.moved(state, step, here, brownian)

    def moved(
        self, state: ChainState, step: Int[Array, ""], here: dict[str, Words], brownian: PyTree
    ) -> ChainState:
        """The state after one substep of `step`, with the words of its streams at this very substep.

        A process of one's own defines this, or `substep` where it needs more.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how it moves: define moved, or substep.")

    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        """One unit of the clock: all substeps, each with its own increment."""

        def one(number: Count, state: ChainState) -> ChainState:
            return self.substep(state, step, number, words, self.increment(state, step, number, words))

        return one(0, state) if self.substeps == 1 else lax.fori_loop(0, self.substeps, one, state)


def population_factor(problem: Problem, hyper: Hyperparameters, sampling: Sampling) -> Float[Array, ""]:
    """What the covariance C/B is multiplied by for this sampling.

    Raises:
        ValueError: for shuffled epochs, which no white noise matches, or a sampling that the
            problem does not know; or parameters in float32 where this session computes in float64.
    """
    _check_precision(problem)
    if is_shuffled(sampling):
        raise ValueError(
            f"sampling={sampling!r} has no matching SDE: its noise is anti-correlated over an epoch. "
            "Compare with sampling='replacement' or 'subset'."
        )
    problem.sampler(sampling, hyper.batch_size)
    factor = 1.0
    if sampling == "subset":
        factor = finite_population_factor(hyper.batch_size, problem.dataset_size or 1)
    return jnp.asarray(factor, dtype=float)


def _check_precision(problem: Problem) -> None:
    """Refuse a problem that was built in float32 before float64 was switched on."""
    wanted = jnp.result_type(float)
    if wanted != jnp.float64:
        return
    theta = _traces.parameter_shapes(problem.init)
    narrow = {str(leaf.dtype) for leaf in jax.tree.leaves(theta)} - {str(wanted)}
    if narrow:
        found = ", ".join(sorted(narrow))
        raise ValueError(
            f"problem must have parameters in {wanted}, as jax_enable_x64 is on, got {found} from "
            f"{type(problem).__name__}: build the problem and its hyperparameters after switching it on."
        )
