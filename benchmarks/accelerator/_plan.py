"""The steps, in the order of their worth."""

from functools import partial
from pathlib import Path

from benchmarks.accelerator import peers, right, scripts, sharpest, speed
from benchmarks.accelerator._device import device
from benchmarks.accelerator._step import Step

_DATA, _FIGURE = ("sklearn",), ("matplotlib",)


def steps(out: Path) -> list[Step]:
    """What is measured, from what matters most to what can be left.

    Args:
        out: where figures and reports go.
    """
    return [
        Step("device", 30, device),
        Step("chains", 60, right.chains_against_cpu),
        Step("independence", 45, right.chain_is_its_own),
        Step("pieces", 45, right.in_pieces),
        Step("double-well-law", 45, right.double_well_law),
        Step("exact-noise", 30, right.exact_noise),
        Step("escape-rates", 25, right.escape_rates),
        Step("precision", 45, right.precision),
        Step("invariance", 90, partial(scripts.invariance, out=out), _FIGURE),
        Step("ceilings", 45, speed.ceilings),
        Step("ensembles", 90, speed.ensembles),
        Step("kernel-chains", 60, right.kernel_against_loop),
        Step("kernel", 60, speed.kernel),
        Step("network-seeds", 60, speed.network_seeds, _DATA),
        Step("network-products", 60, speed.network_products, _DATA),
        Step("large-sweep", 90, speed.large_sweep, _DATA),
        Step("sde", 45, speed.sde, _DATA),
        Step("exits", 45, speed.exits),
        Step("curvature", 45, speed.curvature, _DATA),
        Step("sharpest-directions", 120, sharpest.directions, _DATA),
        Step("central-flow", 40, sharpest.central_flow),
        Step("sharpest-costs", 120, sharpest.costs, _DATA),
        Step("residual-network", 60, speed.residual_network),
        Step("double-well-peers", 75, peers.of_the_double_well),
        Step("network-peers", 45, peers.of_the_network, _DATA),
        Step("card", 300, partial(scripts.card, out=out), (*_DATA, *_FIGURE)),
    ]
