"""A CPU takes many chains a tile at a time; the tiles show in no number."""

import jax
import numpy as np
import pytest

import sde_sgd as ss
from sde_sgd.simulation import _program

WELL = ss.problems.DoubleWell()


def ended(process, chains, tile_bytes, monkeypatch, **options):
    """The parameters at the end, and how many slices the compiled program cuts."""
    monkeypatch.setattr(_program, "_TILE_BYTES", tile_bytes)
    monkeypatch.setattr(_program, "_PROGRAMS", type(_program._PROGRAMS)())
    tiles = []
    advance = type(process).advance
    monkeypatch.setattr(
        type(process),
        "advance",
        lambda self, state, **rest: (tiles.append(state.chain.shape[0]), advance(self, state, **rest))[1],
    )
    result = ss.run(process, chains=chains, key=jax.random.key(0), **options)
    monkeypatch.setattr(type(process), "advance", advance)
    return jax.tree.leaves(result.samples()), set(tiles)


@pytest.mark.same_bits
@pytest.mark.parametrize(
    "chains", [4_000, *(pytest.param(size, marks=pytest.mark.script) for size in (4_001, 4_099))]
)
@pytest.mark.parametrize("increments", [pytest.param("gaussian", marks=pytest.mark.script), "two_point"])
def test_tiles_of_a_toy_change_no_bit(chains, increments, monkeypatch):
    """Also where the last tile overlaps the one before, and each chain has its own η."""
    rates = np.linspace(0.01, 0.1, chains)
    process = ss.Langevin(WELL, ss.Hyperparameters(rates, 2), increments=increments, substeps=1)
    tiled, sizes = ended(process, chains, 2**12, monkeypatch, steps=70)
    whole, all_at_once = ended(process, chains, 2**30, monkeypatch, steps=70)
    assert max(sizes) < max(all_at_once) / 3
    np.testing.assert_array_equal(tiled, whole)


def test_momentum_and_shuffled_orders_are_cut_with_their_chains(monkeypatch):
    data = ss.problems.TiltedNoiseData(WELL, dataset_size=16, key=jax.random.key(1))
    hyper = ss.Hyperparameters(np.linspace(0.01, 0.1, 300), 4, np.linspace(0.0, 0.9, 300))
    process = ss.SGD(data, hyper, sampling="shuffle")
    tiled, sizes = ended(process, 300, 2**12, monkeypatch, steps=10)
    whole, _ = ended(process, 300, 2**30, monkeypatch, steps=10)
    assert max(sizes) < 100
    np.testing.assert_allclose(tiled, whole, rtol=1e-5)


@pytest.mark.parametrize(("batch", "cut"), [(4, True), (32, False)])
def test_networks_are_cut_where_batches_are_small(batch, cut, monkeypatch):
    """To float32 rounding: matrix products over fewer chains may be ordered otherwise."""
    problem = ss.problems.mlp(ss.data.wine(), hidden=(16,))
    process = ss.SGD(problem, ss.Hyperparameters(np.linspace(0.01, 0.05, 12), batch))
    tiled, sizes = ended(process, 12, 2**12, monkeypatch, steps=20)
    whole, all_at_once = ended(process, 12, 2**30, monkeypatch, steps=20)
    assert (max(sizes) < max(all_at_once)) == cut
    for one, other in zip(tiled, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
