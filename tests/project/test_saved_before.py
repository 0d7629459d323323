"""What an earlier state of the package has saved is read, and gone on from.

`PYTHONPATH=tests python tests/project/test_saved_before.py` made `tests/saved/version-0.1.0.tar.xz` before
the modules of the package were moved into folders. What is added later gets an archive of its own.
"""

import tarfile
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import sde_sgd as ss

ARCHIVES = sorted((Path(__file__).parents[1] / "saved").glob("*.tar.xz"))
WELL = ss.problems.DoubleWell()
ONE = jax.devices()[:1]


def run(folder, steps=20, **options):
    process = ss.SGD(WELL, ss.Hyperparameters(0.05, 2, momentum=0.3))
    more = {"chains": 3, "every": 5, "key": jax.random.key(5), "devices": ONE, **options}
    return ss.run(process, steps=steps, **(more if folder is None else {**more, "checkpoint": folder}))


def sweep(folder, steps=20, **options):
    grid = {"batch_size": [2, 4], "learning_rate": [0.02, 0.05], "seeds": 2, "key": jax.random.key(8)}
    more = {**grid, "every": 5, "devices": ONE, **options}
    return ss.sweep(ss.SGD, WELL, steps=steps, **(more if folder is None else {**more, "checkpoint": folder}))


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda path: path.name)
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    with tarfile.open(request.param) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.script
@pytest.mark.parametrize(("do", "name"), [(run, "run"), (sweep, "sweep")])
@pytest.mark.parametrize("steps", [20, 40])
def test_a_checkpoint_goes_on(saved, do, name, steps, tmp_path):
    """Finished after 20 steps, it is read; asked for more it goes on as a run that was as long."""
    folder = tmp_path / name
    (saved / f"{name}_checkpoint").rename(folder)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the checkpoint was written with other versions")
            found = do(folder, steps, resume=True)
    finally:
        folder.rename(saved / f"{name}_checkpoint")
    whole = do(None, steps)
    if name == "run":
        np.testing.assert_allclose(found.theta, whole.theta, rtol=1e-5)
    else:
        np.testing.assert_allclose(found["loss"], whole["loss"], rtol=1e-4)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_results_are_read(saved, suffix):
    whole = run(None, record=["loss"], moments=["loss"])
    found = ss.read_run(saved / f"run{suffix}")
    np.testing.assert_allclose(found.theta, whole.theta, rtol=1e-5)
    np.testing.assert_allclose(found.record["loss"], whole.record["loss"], rtol=1e-4)
    assert found.provenance["process"] == whole.provenance["process"]
    assert (found.steps, found.process.hyper.batch_size) == (20, 2)
    swept = ss.read_sweep(saved / f"sweep{suffix}")
    np.testing.assert_allclose(swept["loss"], sweep(None)["loss"], rtol=1e-4)
    assert swept.dataset["loss"].dims == ("learning_rate", "batch_size", "seed", "step")


def test_there_is_one():
    assert ARCHIVES


def write(path):
    """An archive of all this, by the package as it is."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(ss.Checkpoint(folder / "run_checkpoint", keep=1))
        swept = sweep(ss.Checkpoint(folder / "sweep_checkpoint", keep=1))
        result = run(None, record=["loss"], moments=["loss"])
        for suffix in (".nc", ".zarr"):
            result.save(folder / f"run{suffix}")
            swept.save(folder / f"sweep{suffix}")
        with tarfile.open(path, "w:xz") as archive:
            for entry in sorted(folder.iterdir()):
                archive.add(entry, entry.name, filter=_plain)


def _plain(entry):
    """Without what tells the machine; orbax reads without its notes of success."""
    if entry.name.endswith("commit_success.txt"):
        return None
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    write(Path(__file__).parents[1] / "saved" / "version-0.1.0.tar.xz")
