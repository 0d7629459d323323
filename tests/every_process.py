"""Every process there is, small: what the tests of processes go through, and what is kept of them."""

import diffrax
import jax
import jax.numpy as jnp
import optax
from helpers import ONE_EULER_STEP

import sde_sgd as ss


def regression(examples=24, features=3):
    keys = jax.random.split(jax.random.key(5), 2)
    inputs = jax.random.normal(keys[0], (examples, features))
    targets = inputs @ jnp.ones(features) + jax.random.normal(keys[1], (examples,))
    return ss.problems.linear_regression(ss.data.Dataset(inputs, targets))


WELL = ss.problems.DoubleWell()
DATA = regression()
TILTED = ss.problems.TiltedNoiseData(WELL, dataset_size=20, key=jax.random.key(2))
HYPER = ss.Hyperparameters(0.05, 4)
FALLING = optax.cosine_decay_schedule(1.0, 15)
MOMENTUM = ss.Hyperparameters(0.02, 4, momentum=0.9)

PROCESSES = {
    "SGD on a well": lambda: ss.SGD(WELL, HYPER),
    "SGD with momentum": lambda: ss.SGD(WELL, MOMENTUM),
    "SGD on data": lambda: ss.SGD(DATA, HYPER),
    "SGD on fresh subsets": lambda: ss.SGD(DATA, HYPER, sampling="subset"),
    "SGD shuffled": lambda: ss.SGD(DATA, HYPER, sampling="shuffle"),
    "SGD shuffled, with the rest": lambda: ss.SGD(DATA, ss.Hyperparameters(0.05, 7), sampling="shuffle_all"),
    "chains that are put back": lambda: ss.escape.Renewal(ss.SGD(WELL, MOMENTUM), start=-1.0, outside=0.125),
    "Adam": lambda: ss.SGD(DATA, HYPER, optimizer=optax.adam),
    "Rademacher noise": lambda: ss.SGD(ss.problems.DoubleWell(noise_law="rademacher"), HYPER),
    "exponential noise": lambda: ss.SGD(ss.problems.DoubleWell(noise_law="exponential"), HYPER),
    "Langevin on a well": lambda: ss.Langevin(WELL, HYPER),
    "Langevin with substeps": lambda: ss.Langevin(WELL, HYPER, substeps=3),
    "Langevin by Euler": lambda: ss.Langevin(WELL, HYPER, **ONE_EULER_STEP),
    "Langevin by Euler with substeps": lambda: ss.Langevin(WELL, HYPER, solver=diffrax.Euler(), substeps=3),
    "Langevin on data": lambda: ss.Langevin(DATA, HYPER, substeps=2),
    "Langevin on tilted data": lambda: ss.Langevin(TILTED, HYPER),
    "Langevin isotropic": lambda: ss.Langevin(DATA, HYPER, noise="isotropic", substeps=1),
    "Langevin diagonal": lambda: ss.Langevin(DATA, HYPER, noise="diagonal", substeps=1),
    "Langevin without noise": lambda: ss.Langevin(DATA, HYPER, noise="none"),
    "Langevin by Heun": lambda: ss.Langevin(WELL, HYPER, solver=diffrax.Heun()),
    "Langevin by ShARK": lambda: ss.Langevin(WELL, HYPER, solver=diffrax.ShARK()),
    "Langevin two-point": lambda: ss.Langevin(WELL, HYPER, increments="two_point", substeps=2),
    "SGD scheduled": lambda: ss.SGD(WELL, MOMENTUM, schedule=FALLING),
    "Adam scheduled": lambda: ss.SGD(DATA, HYPER, optimizer=optax.adam, schedule=FALLING),
    "Langevin scheduled": lambda: ss.Langevin(WELL, HYPER, schedule=FALLING),
    "second order": lambda: ss.SecondOrderLangevin(WELL, HYPER, fixed="ratio", schedule=FALLING),
    "second order on data": lambda: ss.SecondOrderLangevin(DATA, HYPER, substeps=1),
    "underdamped": lambda: ss.UnderdampedLangevin(WELL, MOMENTUM),
    "underdamped on data": lambda: ss.UnderdampedLangevin(DATA, MOMENTUM, substeps=2),
    "white noise": lambda: ss.WhiteNoiseGD(WELL, MOMENTUM),
    "SGLD on data": lambda: ss.SGLD(DATA, HYPER, temperature=0.1, sampling="shuffle"),
    "SVAG": lambda: ss.SVAG(WELL, HYPER, l=3),
    "central flow": lambda: ss.CentralFlow(WELL, HYPER),
    "central flow on data": lambda: ss.CentralFlow(DATA, ss.Hyperparameters(0.05, 24), k=2, substeps=2),
    "Langevin in the plane": lambda: ss.Langevin(ss.problems.MullerBrown(scale=1e-3), HYPER),
}
