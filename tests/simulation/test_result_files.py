"""Saved results: whole or not there, read to the last bit or refused by one error, opened by xarray."""

import json
import os
import time

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from helpers import refused
from torture import result_files
from torture.result_files import content, made

import sde_sgd as ss
from sde_sgd._platform.files import _files, _seal
from sde_sgd.simulation._sweep_result import build_dataset

BOTH = pytest.mark.parametrize("suffix", [".nc", ".zarr"])


def bytes_of(path):
    """All that is in a file or folder, by name."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def beside(path):
    return sorted(other.name for other in path.parent.iterdir() if other != path)


def everything():
    """Dtypes, names, shapes and attributes that files do not know by themselves."""
    quiet = np.array([0x7FC00001, 0xFFC00123, 0x7F800001], np.uint32).view(np.float32)
    half = np.array([0x7C01, 0x7E03, 5], np.uint16).view(np.float16)
    data = {
        "loss": (("run", "seed"), np.arange(6.0).reshape(2, 3)),
        "payloads": ("seed", quiet),
        "payloads64": ("seed", np.array([0x7FF8000000000007, 0xFFF0000000000001, 3], np.uint64).view(float)),
        "bf16": ("seed", np.array([0x7FC1, 0x3F80, 0x8000], np.uint16).view(jnp.bfloat16)),
        "half": ("seed", half),
        "a/b %": ("seed", [True, False, True]),
        "η²": ("run", np.array([1, 2], np.int8)),
        "L": ("run", [1, 2]),
        "l": ("run", [3, 2]),
        "empty": (("none", "run"), np.zeros((0, 2), np.float32)),
        ".hidden": ("σ/", [1.0]),
        " ": ((), 3.0),
        "n" * 300: ("run", np.array(["ä\n", "b"])),
        "swapped": ("run", np.array([1, 2], ">f4")),
    }
    coords = {"run": ["clean", "noisy ½"], "seed": [0, 1, 2], "ratio": ("run", np.float32([0.1, 0.2]))}
    attributes = {
        "seconds": float("nan"),
        "nothing": None,
        "truth": True,
        "large": 2**80,
        "nested": {"x": [1, 2.5]},
        "text": "a\0b",
        "coordinates": "loss",
        "dtype": "bool",
        "long": "n" * 100_000,
        "σ": 1,
    }
    return xr.Dataset(data, coords, attributes)


@BOTH
def test_every_number_comes_back_to_the_last_bit(suffix, tmp_path):
    given = everything()
    path = ss.SweepResult(given).save(tmp_path / f"all{suffix}")
    found = ss.read_sweep(path).dataset
    assert set(found.variables) == set(given.variables)
    assert set(found.coords) == set(given.coords)
    assert json.dumps(found.attrs) == json.dumps(given.attrs)
    for name, variable in given.variables.items():
        assert found[name].dims == variable.dims
        assert found[name].dtype == variable.dtype.newbyteorder("=")
        native = variable.values.astype(found[name].dtype)
        assert found[name].values.tobytes() == native.tobytes(), name


@BOTH
def test_a_saved_sweep_is_an_ordinary_file_for_xarray(suffix, tmp_path):
    path = made(0).save(tmp_path / f"sweep{suffix}")
    opened = xr.open_dataset(path) if suffix == ".nc" else xr.open_zarr(path, chunks=None)
    with opened:
        for name, variable in made(0).dataset.variables.items():
            assert opened[name].dims == variable.dims
            np.testing.assert_array_equal(opened[name], variable)
        assert opened.attrs["process"] == "SGD"
        assert opened.attrs["seconds"] == 1.5


@BOTH
def test_the_same_result_is_the_same_file(suffix, tmp_path):
    one, other = (made(0).save(tmp_path / name / f"sweep{suffix}") for name in "ab")
    assert bytes_of(one) == bytes_of(other)


@BOTH
def test_what_was_saved_by_others_is_refused_by_name(suffix, tmp_path):
    path = tmp_path / f"other{suffix}"
    data = xr.Dataset({"a": ("x", [1, 2])}, attrs={"created_by": "me"})
    if suffix == ".nc":
        data.to_netcdf(path, engine="netcdf4")
    else:
        data.to_zarr(path, zarr_format=2)
    with pytest.raises(ss.FileError, match=rf"other\{suffix}' was not written by SweepResult\.save"):
        ss.read_sweep(path)
    if suffix == ".nc":
        for junk in (b"", b"text", b"CDF\x01" + bytes(100), b"\x89HDF\r\n\x1a\n" + bytes(5000)):
            path.write_bytes(junk)
            with pytest.raises(ss.FileError, match="was not written by"):
                ss.read_sweep(path)
        path.unlink()
        path.mkdir()
        with pytest.raises(ss.FileError, match="cannot be read: IsADirectoryError"):
            ss.read_sweep(path)


@BOTH
def test_files_without_checksums_are_read_with_a_word(suffix, tmp_path):
    path, data = tmp_path / f"old{suffix}", made(0).dataset
    if suffix == ".nc":
        data.to_netcdf(path, engine="netcdf4")
    else:
        data.to_zarr(path, mode="w", zarr_format=2)
    with pytest.warns(UserWarning, match="stored no checksums: damage to it cannot be seen"):
        found = ss.read_sweep(path)
    xr.testing.assert_identical(found.dataset, data)
    assert found.seconds == 1.5
    if suffix == ".nc":
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(ss.FileError, match="is damaged: it has"):
            ss.read_sweep(path)


def test_another_number_is_never_read_from_netcdf(tmp_path):
    result = made(0)
    path = result.save(tmp_path / "sweep.nc")
    data = bytearray(path.read_bytes())
    place = data.find(result["loss"].values.tobytes()[:16])
    assert place > 0
    data[place + 3] ^= 64
    path.write_bytes(data)
    with pytest.raises(ss.FileError, match=r"sweep\.nc' is damaged: its bytes do not have the checksum"):
        ss.read_sweep(path)


@pytest.mark.parametrize("name", ["diverged_at", "loss"])
def test_a_lost_piece_of_zarr_is_not_read_as_numbers(name, tmp_path):
    path = made(0).save(tmp_path / "sweep.zarr")
    next(iter((path / name).glob("[0-9]*"))).unlink()
    with pytest.raises(ss.FileError, match=rf"sweep\.zarr' is damaged: '{name}/.*' is missing"):
        ss.read_sweep(path)


def test_one_flipped_bit_does_not_pass_for_a_file_without_a_seal(tmp_path):
    assert _seal._LENGTH & (_seal._LENGTH - 1)
    path = made(0).save(tmp_path / "sweep.nc")
    data = path.read_bytes()
    end = len(data) - _seal._LENGTH
    assert end == _seal._end_of_hdf5(data[:64])
    for changed in (
        data[:end],  # as another program leaves it that opens it for writing
        data[: end + 5],
        data[:end] + bytes(_seal._LENGTH),
        *(
            data[:byte] + bytes([data[byte] ^ 1 << bit]) + data[byte + 1 :]
            for byte in range(48)
            for bit in (0, 5)
        ),
    ):
        path.write_bytes(changed)
        with pytest.raises(ss.FileError, match=r"is damaged|was not written"):
            ss.read_sweep(path)


def test_what_file_systems_put_into_a_folder_does_no_harm(tmp_path):
    path = made(0).save(tmp_path / "sweep.zarr")
    (path / ".DS_Store").write_text("x")
    (path / "loss" / "._0").write_text("x")
    assert content(ss.read_sweep(path)) == content(made(0))
    (path / "loss" / "9.9.9.9").write_text("x")
    with pytest.raises(ss.FileError, match=r"'loss/9\.9\.9\.9' does not belong to it"):
        ss.read_sweep(path)


@BOTH
def test_what_cannot_be_written_leaves_what_was_there(suffix, tmp_path, monkeypatch):
    path = made(0).save(tmp_path / f"sweep{suffix}")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_files.os, "fsync", full)
        with pytest.raises(
            ss.FileError, match=r"the sweep \(.* MB\) could not be written to .* MB free\): OSError"
        ):
            made(1).save(path, overwrite=True)
        with pytest.raises(ss.FileError, match="Nothing is left there"):
            made(1).save(tmp_path / f"new{suffix}")
    assert content(ss.read_sweep(path)) == content(made(0))
    assert beside(path) == []
    monkeypatch.setattr(_files, "_put", full)
    with pytest.raises(ss.FileError, match="What was there before is untouched"):
        made(1).save(path, overwrite=True)
    assert content(ss.read_sweep(path)) == content(made(0))
    with pytest.raises(ss.FileError, match="dtype complex64, which is not written"):
        ss.SweepResult(xr.Dataset({"z": ("x", np.ones(2, np.complex64))})).save(path, overwrite=True)


def test_a_folder_that_was_set_aside_is_found_and_put_back(tmp_path, monkeypatch):
    """Where names cannot be exchanged at once, a kill may come between two renames."""
    path = made(0).save(tmp_path / "sweep.zarr")
    monkeypatch.setattr(_files, "_exchanged", lambda new, target: False)
    made(1).save(path, overwrite=True)
    assert content(ss.read_sweep(path)) == content(made(1))
    assert beside(path) == []
    process = 2**22 + 5  # beyond the largest number that Linux gives to a process
    path.rename(tmp_path / f".sweep.zarr.{_files._host()}-{process}-00.aside")
    (tmp_path / f".sweep.zarr.{_files._host()}-{process}-00.partial").mkdir()
    assert content(ss.read_sweep(path)) == content(made(1))
    with refused(match="exists; pass overwrite=True"):
        made(2).save(path)
    monkeypatch.setattr(_files, "_put", lambda *_: (_ for _ in ()).throw(OSError("stop")))
    with pytest.raises(ss.FileError, match="untouched"):
        made(2).save(path, overwrite=True)
    assert path.exists()
    assert content(ss.read_sweep(path)) == content(made(1))
    assert beside(path) == []


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    path = tmp_path / "sweep.nc"
    other = tmp_path / f".sweep.nc.{_files._host()}-{os.getpid()}-00.partial"
    other.write_text("half")
    abandoned = tmp_path / f".sweep.nc.{_files._host()}-{2**22 + 5}-00.partial"
    abandoned.write_text("half")
    made(0).save(path)
    assert beside(path) == [other.name]


def test_a_link_is_written_through(tmp_path):
    path = made(0).save(tmp_path / "real" / "sweep.zarr")
    link = tmp_path / "link.zarr"
    link.symlink_to(path)
    made(1).save(link, overwrite=True)
    assert link.is_symlink()
    assert content(ss.read_sweep(path)) == content(made(1)) == content(ss.read_sweep(link))


@pytest.mark.parametrize("path", ["x.csv", "a\0b.nc", "x"])
def test_paths_that_are_none(path):
    with refused(match=r"path must end in \.nc"):
        made(0).save(path)
    with refused(match=r"path must be an existing \.nc file"):
        ss.read_sweep(path)


def test_a_name_that_is_too_long_for_a_file(tmp_path):
    with refused(match=r"path must be a path, .*too long"):
        made(0).save(tmp_path / ("n" * 300 + ".nc"))
    path = made(0).save(tmp_path / ("n" * 250 + ".nc"))
    assert content(ss.read_sweep(path)) == content(made(0))


def test_reading_a_damaged_file_is_quick(tmp_path):
    """Sealed files are looked at as bytes: nothing in them is believed before."""
    path = made(0).save(tmp_path / "sweep.nc")
    with path.open("r+b") as file:
        file.truncate(2**33)  # a hole, which takes no room
    begun = time.perf_counter()
    with pytest.raises(ss.FileError):
        ss.read_sweep(path)
    assert time.perf_counter() - begun < 2


def test_a_record_may_be_called_like_the_axis_of_another(tmp_path):
    variables = {"x": np.zeros((1, 1, 2, 3)), "x_0": np.ones((1, 1, 2))}
    given = build_dataset({"run": [0]}, 1, ("step", np.arange(2)), variables, {}, {"created_by": "sde_sgd"})
    assert given["x"].dims == ("run", "seed", "step", "x_0_")
    path = ss.SweepResult(given).save(tmp_path / "sweep.nc")
    xr.testing.assert_identical(ss.read_sweep(path).dataset, given)


@pytest.mark.script
def test_damage_kills_and_full_disks_in_short():
    for row in result_files.rows(0.005, 1):
        assert row.held == row.tried > 0, (row.what, row.failures)
        assert not row.failures, (row.what, row.failures)
