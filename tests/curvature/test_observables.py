"""Curvature recorded during runs and sweeps, against the exact Hessian at their ends."""

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sde_sgd as ss
from sde_sgd import curvature
from sde_sgd.simulation import _program

KEY = jax.random.key(7)


def small(seed):
    return ss.problems.mlp(helpers.class_data(seed=seed), hidden=(2,))


@pytest.mark.script
def test_recorded_during_a_run_with_one_program_for_all_numbers(monkeypatch, one_device):
    """Other η, data, examples, start vector and grid compile nothing."""
    compiled = []
    really = _program.Ensemble._compile
    monkeypatch.setattr(_program.Ensemble, "_compile", lambda *args: compiled.append(1) or really(*args))
    for rate, seed in ((0.1, 0), (0.2, 1)):
        net = small(seed)
        record = {
            # all examples, in another order
            "λ": curvature.Sharpness(net, 2, products=15, subset=12, key=jax.random.key(seed)),
            "density": curvature.Observable(
                curvature.spectral_density, net, key=KEY, samples=2, products=5, grid=[-1.0, rate], width=0.1
            ),
        }
        process = ss.SGD(net, ss.Hyperparameters(rate, 4))
        result = ss.run(process, chains=2, steps=4, every=2, key=KEY, record=record, devices=one_device)
        last = jax.tree.map(lambda leaf: leaf[1], result.theta)
        hessian = hessian_of(net, last)
        np.testing.assert_allclose(result.record["λ"][2, 1], helpers.descending(hessian)[:2], rtol=1e-4)
        assert result.record["density"].shape == (3, 2, 2)
    assert len(compiled) == 1


@helpers.quick_jit
def hessian_of(net, theta):
    return net.hessian(theta)


@pytest.mark.script
def test_recorded_in_a_sweep(one_device):
    net = small(0)
    sharpness = curvature.Sharpness(net, products=15)
    rates = [0.05, 0.1]
    swept = ss.sweep(
        ss.SGD,
        net,
        batch_size=4,
        learning_rate=rates,
        steps=6,
        record={"sharpness": sharpness, "loss": net.loss},
        keep_theta=True,
        devices=one_device,
        key=KEY,
    )
    assert swept["sharpness"].sizes == {"learning_rate": 2, "seed": 1, "step": 2}
    for number in range(2):
        last = jax.tree.map(lambda leaf: jnp.asarray(leaf[number, 0]), swept.theta)  # noqa: B023
        wanted = helpers.descending(hessian_of(net, last))[0]
        np.testing.assert_allclose(swept["sharpness"].values[number, 0, -1], wanted, rtol=1e-4)
