"""What the table of speeds shows, line by line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        what: is timed.
        beside: whom it is compared with.
        benchmark: the name in the results.
        who: how the peer's name begins there.
        own: how our name begins there; by default whoever comes first.
        in_readme: whether the README shows it too.
    """

    what: str
    beside: str
    benchmark: str
    who: str
    own: str = ""
    in_readme: bool = False


_EULER, _EULER_TITLE = "double_well, 10^5 chains", "Euler-Maruyama, 10⁵ chains"
_TWO_POINT_TITLE = "the same with two-point increments"
_WELL, _DIGITS = "integrators, double well, 10^5 chains", "integrators, digits MLP, 8 seeds"
_MANY, _BEST_SIZE = "10,000,000 chains", "the best ensemble size"
_SWEEP, _SWEEP_TITLE = "mixed_sweep, 320 runs", "sweep, 5 batch sizes × 4 ratios × 16 seeds"
_NETWORK = "64-256-256-10"
_LANCZOS, _EIGENVALUES = "lanczos, 5 eigenvalues by", "5 largest eigenvalues of 16 digits MLPs"
_LOOP = "PyTorch, a loop over"
_WIDE_CEILINGS = "wide_vectors, ceilings, Euler-Maruyama"
_BITS, _NARROW = "vectors of 512 bits", "vectors as XLA has them"

LINES = (
    Line(_EULER_TITLE, "its random numbers alone (the ceiling)", _EULER, "ceiling"),
    Line(_EULER_TITLE, "C with OpenMP, libm", _EULER, "C + OpenMP (libm)"),
    Line(
        _EULER_TITLE,
        "C vectorised by hand, the same random bits",
        _EULER,
        "C + OpenMP (same bits)",
        in_readme=True,
    ),
    Line(_EULER_TITLE, "numba", _EULER, "numba", in_readme=True),
    Line(_EULER_TITLE, "torchsde", _EULER, "torchsde"),
    Line(_EULER_TITLE, "diffrax, vmapped over chains", _EULER, "diffrax, vmapped", in_readme=True),
    Line(_TWO_POINT_TITLE, "Gaussian increments", "two-point increments, 10^5 chains", "sde_sgd, Gaussian"),
    Line("the default `Langevin` there", "one Euler step", _WELL, "Euler, 1 substep"),
    Line(
        "the default `Langevin` there",
        "16 Euler steps, whose variance is 1.6 % too large at ηh = ½, where the default is exact",
        _WELL,
        "Euler, 16 substeps",
    ),
    Line(
        "the default `Langevin` on the digits MLP, 8 seeds",
        "one Euler step (32 are taken)",
        _DIGITS,
        "Euler, 1 substep",
        in_readme=True,
    ),
    Line("10⁷ chains", _BEST_SIZE, "ensemble_size, sde_sgd, Gaussian", _MANY, _MANY),
    Line("10⁷ chains, two-point", _BEST_SIZE, "ensemble_size, sde_sgd, two-point", _MANY, _MANY),
    Line("SGD of the digits MLP, 64 seeds, B = 32", f"{_LOOP} seeds", "digits_mlp, 64 seeds", _LOOP),
    Line(_SWEEP_TITLE, f"{_LOOP} runs", _SWEEP, _LOOP, in_readme=True),
    Line(_SWEEP_TITLE, "`run` by hand for each B", _SWEEP, "sde_sgd.run"),
    Line(
        f"SGD of a {_NETWORK} MLP, B = 128, 16 runs",
        "the best of its matrix products alone",
        f"mlp_ceiling, {_NETWORK}, B = 128, 16 runs",
        "its best product",
    ),
    Line(
        "SDE of the MLP with exact C(θ), 64 seeds",
        f"{_LOOP} seeds",
        "digits_mlp_sde, exact C(θ), 64 seeds",
        _LOOP,
    ),
    Line(
        "SDE step with exact C(θ), 1 chain",
        "a full-batch gradient step",
        "exact_noise_step, 1 chain",
        "sde_sgd, full-batch",
    ),
    Line(
        "15 products of Lanczos, digits MLP",
        "its Hessian-vector products alone",
        "lanczos, 15 products",
        "sde_sgd, its",
    ),
    Line(
        f"{_EIGENVALUES}, 13 products",
        "PyHessian, its tolerance (ours at least as exact)",
        f"{_LANCZOS} 13 products, 16 runs",
        "PyHessian",
    ),
    Line(
        f"{_EIGENVALUES}, 15 products",
        "PyHessian, tolerance 1e-5 (ours at least as exact)",
        f"{_LANCZOS} 15 products, 16 runs",
        "PyHessian",
    ),
    Line(
        "chains that are put back when they leave, 10⁴",
        "the same without exits",
        "escape, 10^4 chains",
        "sde_sgd, the same",
    ),
    Line(
        "exits of a barrier of 5 D, counted",
        "`jax.vmap` of a `while_loop` to the first exit",
        "escape, exits counted",
        "jax.vmap",
    ),
    Line("two processes on two cores", "one process on one core", "two_processes, 10^5 chains", "1 process"),
    Line(
        "a call of `run`, 10 chains, 1 step",
        "its step alone, jitted",
        "call_overhead, run",
        "jax.jit",
        in_readme=True,
    ),
    Line(
        "a call of `sweep`, 3 programs, for each of them",
        "their steps alone, jitted",
        "call_overhead, sweep",
        "jax.jit",
    ),
    Line(f"{_EULER_TITLE}, {_BITS}", _NARROW, "wide_vectors, Euler-Maruyama, 10^5 chains", _NARROW),
    Line(f"{_EULER_TITLE}, {_BITS}", "its random numbers alone", f"{_WIDE_CEILINGS}, 10^5 chains", "ceiling"),
    Line(
        f"{_EULER_TITLE}, {_BITS}", "C, the same random bits", f"{_WIDE_CEILINGS}, 10^5 chains", "C + OpenMP"
    ),
    Line(
        f"Euler-Maruyama, 10³ chains, {_BITS}",
        "its random numbers alone",
        f"{_WIDE_CEILINGS}, 10^3 chains",
        "ceiling",
    ),
    Line(
        f"Euler-Maruyama, 10³ chains, {_BITS}",
        "C, the same random bits",
        f"{_WIDE_CEILINGS}, 10^3 chains",
        "C + OpenMP",
    ),
    Line(f"the digits MLP, 64 seeds, {_BITS}", _NARROW, "wide_vectors, digits MLP, 64 seeds", _NARROW),
    Line(f"{_EULER_TITLE}, `use_cpu()`", "one device", "use_cpu, Euler-Maruyama, 10^5 chains", "nothing set"),
)
