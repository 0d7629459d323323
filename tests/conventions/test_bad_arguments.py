"""Every public function of theory, statistics, curvature and plot names the argument that is wrong."""

import functools
import inspect
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import untyped
from scipy import stats

import sde_sgd as ss

KEY = jax.random.key(0)
HYPER = ss.Hyperparameters(0.1, 4)
HOT = ss.Hyperparameters(0.2, 1)
WELL = ss.problems.DoubleWell()
PLANE = ss.problems.Quadratic(np.diag([1.0, 2.0]))
DATA = ss.data.Dataset(np.linspace(-1, 1, 24).reshape(12, 2), np.arange(12) % 3, classes=3)
LINE = ss.problems.linear_regression(ss.data.Dataset(np.ones((12, 1)), np.linspace(-1, 1, 12)))
NET = ss.problems.mlp(DATA, hidden=(3,))
THETA = NET.init(KEY)
NET_SIZE = sum(leaf.size for leaf in jax.tree.leaves(THETA))
X = np.random.default_rng(0).normal(size=60)
CURVES = X.reshape(6, 10)
LAW = stats.norm()
FLAT = ss.theory.Density2D(np.linspace(-5, 5, 51), np.linspace(-4, 4, 41), np.zeros((51, 41)))
MATRIX = np.diag([1.0, 2.0])

SLICE = ss.curvature.Plane(np.linspace(-1, 1, 3), np.arange(9.0).reshape(3, 3) + 1, (THETA, THETA))
FIGURE = ss.plot.figure()[0]


def finished() -> Any:
    """What a run leaves behind, as far as a curve looks at it."""
    made = object.__new__(ss.Result)
    fields = {
        "record": {"loss": CURVES},
        "record_steps": np.arange(6),
        "diverged_at": np.full(10, -1),
        "process": ss.SGD(WELL, HYPER),
    }
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def diagram() -> Any:
    """What `phase_diagram` finds, as far as its picture looks at it."""
    import xarray as xr

    axes = {"learning_rate": [0.1, 0.2], "batch_size": [1, 2]}
    zero = xr.DataArray(np.zeros((2, 2)), axes, list(axes))
    runs = ss.SweepResult(xr.Dataset({"loss": zero.expand_dims(seed=2)}))
    return ss.validity.PhaseDiagram(
        runs, "loss", zero, zero + 0.1, zero + 3, zero > 1, zero + 0.5, 2.0, zero, zero
    )


RUN, DIAGRAM = finished(), diagram()
TEXT, COMPLEX, NAN = "text", np.array([1 + 1j, 2.0]), float("nan")
DEEP, EMPTY = np.zeros((2, 2, 2, 2)), np.zeros((0,))
BAD = {
    "None": None,
    "text": TEXT,
    "complex": COMPLEX,
    "nan": NAN,
    "deep": DEEP,
    "empty": EMPTY,
    "object": object(),
}

numbers = {"problem": WELL, "hyper": HYPER}
hot = {"problem": WELL, "hyper": HOT}
samples = {"sample": X, "reference": LAW}
# one direction of length 1
UNITS = jax.tree.map(lambda leaf: jnp.full((1, *leaf.shape), NET_SIZE**-0.5), THETA)
curved = {"problem": NET, "theta": THETA, "key": KEY}
square = {"hessian": MATRIX, "gradient_covariance": MATRIX, "hyper": HYPER}
# function → arguments that are right, all of which are then made wrong, one by one
CALLS: dict[str, dict[str, Any]] = {
    "statistics.anderson_darling": samples,
    "statistics.compare": {**samples, "level": 0.01, "observable": None},
    "statistics.cramer_von_mises": samples,
    "statistics.kolmogorov_smirnov": samples,
    "statistics.wasserstein": {**samples, "key": KEY, "draws": 19},
    "statistics.energy": {"sample": X, "reference": X + 0.1, "key": KEY, "permutations": 19},
    "statistics.equivalence": {**samples, "margin": 0.5, "quantity": "mean", "level": 0.05},
    "statistics.holm": {"tests": {"one": 0.5}, "level": 0.05},
    "statistics.slope": {
        "x": np.arange(10.0),
        "y": CURVES,
        "key": KEY,
        "expected": 0.0,
        "confidence": 0.9,
        "method": "BCa",
        "resamples": 99,
    },
    "statistics.temperature_test": {
        "theta": X,
        "gradient": X,
        "temperature": 1.0,
        "centre": 0.0,
        "learning_rate": 0.1,
        "laplacian": None,
    },
    "statistics.time_average": {"draws": CURVES, "expected": 0.0},
    "statistics.effective_sample_size": {"draws": CURVES, "kind": "bulk"},
    "statistics.mcse": {"draws": CURVES},
    "statistics.split_r_hat": {"draws": CURVES},
    "statistics.tail_index": {"values": X, "block": 5},
    "theory.kramers": {
        **hot,
        "minimum": jnp.asarray(-1.0),
        "saddle": jnp.asarray(0.0),
        "samples": 2,
        "products": 1,
        "key": KEY,
    },
    "theory.find_saddle": {"problem": WELL, "guess": jnp.asarray(0.1)},
    "theory.mean_passage_time": {**hot, "target": 0.9, "start": -1.0},
    "theory.passage_law": {**hot, "target": 0.9, "start": -1.0},
    "theory.chain_passage_time": {**hot, "target": 0.9, "start": -1.0},
    "theory.diffusion_theory": {
        "hyper": HOT,
        "well_curvature": 1.0,
        "barrier_curvature": 1.0,
        "barrier_height": 0.25,
        "switch_fraction": 0.5,
    },
    "theory.quasi_potential": {**square, "sampling": "subset", "dataset_size": 20},
    "theory.power_law_escape": {
        "hyper": HOT,
        "minimum_loss": 0.1,
        "saddle_loss": 0.2,
        "well_curvature": 1.0,
        "barrier_curvature": 1.0,
        "dimension": 2,
    },
    "theory.chain_law": {**numbers, "bounds": (-2.5, 2.5), "points": 401},
    "theory.discrete_covariance": {**square, "sampling": "replacement"},
    "theory.lyapunov_covariance": {**square, "sampling": "subset", "dataset_size": 20},
    "theory.stationary_covariance": {
        "problem": PLANE,
        "hyper": HYPER,
        "at": np.zeros(2, np.float32),
        "law": "sgd",
        "sampling": "replacement",
    },
    "theory.effective_temperature": {**square, "law": "sgd"},
    "theory.virial": {"hyper": HYPER, "square_gradient": 1.0, "noise_trace": 1.0},
    "theory.virial_with_momentum": {"hyper": HYPER, "square_velocity": 1.0},
    "theory.fokker_planck": {
        **numbers,
        "initial": 0.5,
        "times": [0.0],
        "std": 0.3,
        "bounds": (-2.5, 2.5),
        "cells": 400,
    },
    "theory.relaxation_time": {"problem": WELL, "hyper": HOT, "bounds": (-2.5, 2.5), "cells": 400},
    "theory.gibbs": {**numbers, "bounds": (-2.5, 2.5), "points": 2001},
    "theory.temperature": numbers,
    "theory.ito_density": {**numbers, "bounds": (-2.0, 2.0), "points": 2001},
    "theory.laplace_probabilities": numbers,
    "theory.occupation": {"losses": [0.0, 0.1], "log_determinants": [0.0, 0.1], "temperature": 0.1},
    "theory.refine_minimum": {"problem": WELL, "point": jnp.asarray(0.9), "steps": 5},
    "theory.directional_variance": {
        "curvatures": [1.0, 2.0],
        "noise_variances": [1.0, 2.0],
        "hyper": HYPER,
        "law": "sgd",
    },
    "theory.krylov_variance": {**square, "direction": np.ones(2), "order": 2, "law": "sde"},
    "theory.products": {"problem": PLANE, "theta": np.zeros(2, np.float32)},
    "theory.laplace_gibbs": numbers,
    "theory.modified_gibbs": {**numbers, "bounds": (-1.8, 1.8), "points": 2001},
    "theory.pushforward": {"law": FLAT, "observable": lambda theta: theta[0]},
    "theory.regression_covariance": {"problem": LINE, "hyper": HYPER, "sampling": "replacement"},
    "theory.skew_log_odds": {**numbers, "skewness": 1.0, "split": 0.0},
    "theory.online_regression_law": {"hyper": HYPER, "input_variance": 1.0, "noise_variance": 1.0},
    "theory.online_regression_variance": {
        "hyper": HYPER,
        "law": "sgd",
        "input_variance": 1.0,
        "noise_variance": 1.0,
    },
    "curvature.alignment": {**curved, "k": 2, "products": 4, "samples": 3, "matrix": "hessian"},
    "curvature.covariance_spectrum": {**curved, "k": 2, "products": 4, "method": "lanczos"},
    "curvature.frobenius_norm": {
        **curved,
        "samples": 4,
        "method": "hutchinson",
        "matrix": "hessian",
        "subset": 5,
    },
    "curvature.trace": {**curved, "samples": 4, "method": "hutchinson", "matrix": "hessian", "subset": 5},
    "curvature.top_eigenpairs": {**curved, "k": 1, "products": 3, "which": "largest", "matrix": "hessian"},
    "curvature.spectral_norm": {**curved, "products": 3, "matrix": "hessian", "subset": 5},
    "curvature.condition_number": {**curved, "k": 2, "products": 3, "matrix": "hessian", "subset": 5},
    "curvature.layer_blocks": {**curved, "k": 1, "products": 2, "samples": 2, "by": "layer"},
    "curvature.hvp": {"problem": NET, "theta": THETA, "vector": THETA},
    "curvature.gauss_newton_product": {"problem": NET, "theta": THETA, "vector": THETA},
    "curvature.covariance_product": {"problem": NET, "theta": THETA, "vector": THETA},
    "curvature.nudged": {
        "optimizer": optax.sgd,
        "problem": NET,
        "k": 2,
        "every": 5,
        "factor": 0.1,
        "rest": 1.0,
        "directions": "sharpest",
        "products": 4,
        "subset": 5,
        "key": KEY,
    },
    "curvature.spectral_density": {**curved, "samples": 2, "products": 3, "grid": [0.0, 1.0], "width": 0.1},
    "curvature.log_determinant": {**curved, "samples": 2, "products": 3, "shift": 100.0},
    "curvature.interpolation": {"problem": NET, "a": THETA, "b": THETA, "alphas": [0.0, 1.0]},
    "curvature.plane": {**curved, "radius": 1.0, "points": 2, "normalise": "filter"},
    "curvature.random_direction": {**curved, "normalise": "filter"},
    "curvature.step_effect": {
        **curved,
        "step": THETA,
        "vectors": UNITS,
        "multiples": [0.5, 1.0],
        "samples": 2,
        "subset": 5,
    },
    "curvature.saturation": {
        "problem": NET,
        "theta": THETA,
        "activations": NET.predict.hidden,
        "kind": "tanh",
        "threshold": 0.9,
        "vectors": UNITS,
        "displacements": [-1.0, 1.0],
        "subset": [0, 1],
    },
    "curvature.cosines": {"vector": THETA, "vectors": UNITS},
    "curvature.subspace_overlap": {"vectors": UNITS, "others": UNITS},
    "plot.heat_map": {"values": np.eye(2), "learning_rate": [0.1, 0.2], "batch_size": [1, 2], "ax": None},
    "plot.histograms": {"SGD": X, "bins": 10, "observable": None, "ax": None},
    "plot.landscape": {
        "problem": WELL,
        "bounds": (-2, 2),
        "samples": X,
        "levels": 5,
        "ceiling": 1.0,
        "ax": None,
    },
    "plot.loss_plane": {"plane": SLICE, "levels": 5, "ax": None},
    "plot.loss_lines": {"line": ss.curvature.Line(X, X), "ax": None},
    "plot.corner": {
        "SGD": np.stack([X, X[::-1]], axis=1),
        "directions": np.eye(2),
        "names": ["a", "b"],
        "laws": {"exact": (np.zeros(2), np.eye(2))},
        "bins": 10,
        "axes": None,
    },
    "plot.curves": {"observable": "loss", "SGD": RUN, "clock": "step", "band": "none", "ax": None},
    "plot.curve": {"result": RUN, "observable": "loss"},
    "plot.diagnosis": {"found": None},
    "plot.phase_diagram": {"found": DIAGRAM, "ax": None},
    "plot.save": {"made": FIGURE, "path": "figures/x.png"},
}
# made-up arguments hold too little for it
UNTRIED = {"plot.diagnosis"}
# arguments that are said in other words
WORDS = {
    "gradient_covariance": ("gradient_covariance", "direction", "matrix"),
    "hessian": ("hessian", "direction", "matrix"),
    "a": ("a must", "a has", "a["),
    "b": ("b must", "b has", "b["),
    "x": ("x must",),
    "y": ("y must", "x must"),
    "k": ("k must",),
}


def function_of(name: str) -> Any:
    return functools.reduce(getattr, name.split("."), ss)


def cases() -> list[Any]:
    found = []
    for name, arguments in CALLS.items():
        for argument in arguments:
            parameters = inspect.signature(function_of(name)).parameters
            optional = argument in parameters and parameters[argument].default is None
            right = {"None"} if optional else {"text"} if argument == "path" else set()
            found.extend((name, argument, kind) for kind in BAD if kind not in right)
    return found


def try_it(name: str, argument: str, kind: str) -> tuple[str, str]:
    """ "taken", "named" or "not named", and the words."""
    function, given = function_of(name), dict(CALLS[name])
    given[argument] = BAD[kind]
    try:
        with warnings.catch_warnings(), untyped():
            warnings.simplefilter("ignore")
            function(**given)
    except (ValueError, TypeError) as error:
        wanted = WORDS.get(argument, (argument,))
        return "named" if any(word in str(error) for word in wanted) else "not named", str(error)
    except Exception as error:  # noqa: BLE001 (that is what is looked for)
        return "not named", f"{type(error).__name__}: {error}"
    return "taken", ""


@pytest.mark.parametrize("name", CALLS)
def test_what_is_wrong_is_named(name, monkeypatch, tmp_path):
    """Never in the words of JAX or NumPy; what is right is taken, where nothing has to be compiled for it."""
    monkeypatch.chdir(tmp_path)
    wrong = {case[1:]: try_it(*case) for case in cases() if case[0] == name}
    assert {case: said for case, said in wrong.items() if said[0] != "named"} == {}
    if name not in UNTRIED and not name.startswith("curvature"):
        function_of(name)(**CALLS[name])


def test_all_public_functions_are_here():
    missing = set()
    for where in ("statistics", "theory", "curvature", "plot"):
        module = getattr(ss, where)
        functions = (name for name in dir(module) if inspect.isfunction(getattr(module, name)))
        missing |= {f"{where}.{name}" for name in functions} - set(CALLS)
    assert missing == {"statistics.curve_test", "plot.figure"}  # groups have no names; nothing is asked for
