"""`python -m sde_sgd`: what it says, as text and as JSON, and its exit codes."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import sde_sgd as ss
from sde_sgd._command_line import _doctor, _features, _main
from sde_sgd._command_line._demo import Demo

ROOT = Path(__file__).parents[2]


def started(*arguments, where):
    """The command in a process of its own, in an empty folder."""
    away = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    return subprocess.run(
        [sys.executable, "-m", "sde_sgd", *arguments],
        cwd=where,
        env=away,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_lists_are_those_of_the_installation():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert list(_features.REQUIRED) == project["dependencies"]
    extras = {name: tuple(wanted) for name, wanted in project["optional-dependencies"].items()}
    del extras["dev"]
    assert {name: one.requirements for name, one in _features.FEATURES.items()} == extras
    for name, version in _features.EXCLUDED:
        assert any(one.startswith(f"{name}>") and f"!={version}" in one for one in _features.REQUIRED)


@pytest.mark.script
def test_doctor_in_a_process_of_its_own(tmp_path):
    done = started("doctor", "--json", where=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["well"] and not told["mend"]
    assert told["versions"]["jax"] and told["backend"] and len(told["devices"]) >= 1
    assert set(told["features"]) == set(_features.FEATURES)


def test_doctor_says_what_is_there(capsys):
    assert _main.main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "numpy" in said and np.__version__ in said
    assert "2 x cpu" in said  # the tests have two
    assert said.endswith("all is well\n")


def test_doctor_finds_what_must_be_mended(capsys, monkeypatch):
    have = {"jax": "0.10.2", "numpy": "1.26.4", "zarr": None}
    monkeypatch.setattr(_doctor, "version_of", lambda name: have.get(name, "3000.0"))
    assert _main.main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["well"]
    jax_one, numpy_one, zarr_one = told["mend"]
    assert "jax 0.10.2 computes wrong results on a CPU" in jax_one and "'jax>=0.8,!=0.10.2'" in jax_one
    assert numpy_one == "numpy 1.26.4 is too old: pip install 'numpy>=2.0'"
    assert zarr_one == "zarr is not installed: pip install 'zarr>=3.0'"
    assert _main.main(["doctor"]) == 1
    assert "! jax 0.10.2" in capsys.readouterr().out


def test_doctor_notices_wrong_arithmetic(monkeypatch):
    assert _doctor.arithmetic_faults() == []
    right = jnp.asarray
    monkeypatch.setattr(_doctor.jnp, "asarray", lambda *given: right(*given) * 1.01)
    (fault,) = _doctor.arithmetic_faults()
    assert "come out wrong" in fault


def test_doctor_tells_of_a_driver_that_fails(monkeypatch):
    def broken():
        raise RuntimeError("no device\nat all")

    monkeypatch.setattr(_doctor.jax, "devices", broken)
    found = _doctor.examined()
    assert found.mend == ["JAX finds no device that works: no device at all"]
    assert "devices (none" in str(found)


def test_doctor_advises_what_would_use_the_machine():
    def advice(backend, count, gpu_there, cuda_there):
        return " ".join(_doctor.device_advice(backend, count, 2, gpu_there=gpu_there, cuda_there=cuda_there))

    assert "the 2 cores are 1 device: ss.use_cpu()" in advice("cpu", 1, False, False)
    assert advice("cpu", 2, False, False) == advice("gpu", 1, True, True) == ""
    assert "pip install 'jax[cuda12]" in advice("cpu", 2, True, False)
    assert "nvidia-smi" in advice("cpu", 2, True, True)


def test_a_feature_lacks_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(_features, "version_of", lambda name: None if name == "marimo" else "1.0")
    one = _features.FEATURES["explore"]
    assert one.lacks() == ("marimo",)
    assert one.advice() == "pip install 'marimo>=0.20'"
    assert _features.FEATURES["cuda"].lacks() == ()


@pytest.mark.parametrize(
    ("requirement", "version", "expected"),
    [
        ("a>=0.8,!=0.10.2", "0.10.1", True),
        ("a>=0.8,!=0.10.2", "0.10.2", False),
        ("a>=0.8", "0.7.9", False),
        ("a>=0.8", "0.8.0rc1", True),
        ("a>=3.0", "3", True),
        ("a>=2025.1", "2026.9.0", True),
        ("a>=2", "10.0", True),
        ("a>=2", "strange", False),
        ("a", "1", True),
    ],
)
def test_releases_are_compared_by_their_numbers(requirement, version, expected):
    assert _features.satisfies(requirement, version) is expected


@pytest.mark.parametrize(
    "arguments",
    [[], ["cure"], ["demo", "--chains", "7"], ["demo", "--chains", "x"], ["explore", "--port", "99999"]],
)
def test_wrong_usage_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        _main.main(arguments)
    assert left.value.code == 2
    assert "usage: python -m sde_sgd" in capsys.readouterr().err


@pytest.mark.parametrize("chains", ["999", "20001", "1000000"])
def test_so_few_chains_that_they_tell_nothing_or_so_many_that_they_tell_the_rate_are_refused(chains, capsys):
    with pytest.raises(SystemExit):
        _main.main(["demo", "--chains", chains])
    told = " ".join(capsys.readouterr().err.split())
    assert f"must be an integer from 1000 to 20000, got '{chains}'; fewer would tell nothing, more" in told
    assert "more would tell SGD from Gibbs" in told and "take ss.run and ss.statistics.compare" in told


def test_without_a_command_all_are_listed(capsys):
    with pytest.raises(SystemExit) as left:
        _main.main([])
    said = capsys.readouterr()
    assert (left.value.code, said.out) == (2, "")
    for command in ("doctor", "demo", "explore"):
        assert f"\n    {command} " in said.err


def test_help_has_the_exit_codes_of_the_page(capsys):
    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    codes = re.findall(r"^\| (\d+) \| ", page, re.MULTILINE)
    assert len(codes) == 5
    for arguments in ([], ["doctor"], ["demo"], ["explore"]):
        with pytest.raises(SystemExit) as left:
            _main.main([*arguments, "--help"])
        assert left.value.code == 0
        said = capsys.readouterr().out.split("Exit codes:")[1]
        assert re.findall(r"(?:; |^ )(\d+) ", " ".join(said.split()).join("  ")) == codes


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as left:
        _main.main(["--version"])
    assert (left.value.code, capsys.readouterr().out) == (0, f"sde_sgd {ss.__version__}\n")


@pytest.mark.script
@pytest.mark.parametrize(
    ("asked", "returned", "said"),
    [
        ("doctor | true", 141, ""),
        ("--help > /dev/full", 2, "the output cannot be written: No space left on device\n"),
        ("doctor >&-", 2, "the output cannot be written: standard output is closed\n"),
    ],
)
def test_output_that_nobody_reads_or_that_finds_no_room(asked, returned, said, tmp_path):
    """Nothing said of a reader who left, a line of a full disk, and no traceback."""
    away = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$0" -m sde_sgd {asked}', sys.executable],
        cwd=tmp_path,
        env=away | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (returned, said)


@pytest.mark.parametrize("asked", ["--version", "--help", "doctor"])
def test_output_that_is_closed(asked, monkeypatch, capsys):
    """The help then goes where errors do, as argparse has it."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as left:
        _main.main([asked])
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert told.endswith("the output cannot be written: standard output is closed\n")


def test_wrong_usage_says_nothing_of_closed_output(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as left:
        _main.main(["cure"])
    assert (left.value.code, "cannot be written" in capsys.readouterr().err) == (2, False)


def test_explore_without_marimo_says_how_to_install_it(capsys, monkeypatch):
    def start(**options):
        assert options == {"port": None, "headless": False}
        raise ImportError("pip install it")

    monkeypatch.setattr(ss.explorer, "start", start)
    assert _main.main(["explore"]) == 1
    assert capsys.readouterr().err == "pip install it\n"


def test_explore_ends_as_its_server_does(monkeypatch):
    monkeypatch.setattr(
        ss.explorer, "start", lambda *, port, headless: 3 if (port, headless) == (2718, True) else 0
    )
    assert _main.main(["explore", "--port", "2718", "--headless"]) == 3


def compared(**changes):
    found = ss.statistics.compare(stats.norm().ppf((np.arange(100) + 0.5) / 100), stats.norm())
    return dataclasses.replace(found, **changes)


def test_the_exit_code_of_the_demo_is_its_outcome(monkeypatch, capsys, tmp_path):
    good = Demo({"SGD": compared(), "SDE": compared()}, 0, tmp_path / "wells.png", 1.0)
    different = Demo({"SGD": compared(), "SDE": compared(ks_p=1e-9)}, 0, tmp_path, 1.0)
    lost = Demo({"SGD": compared(), "SDE": compared()}, 3, tmp_path, 1.0)
    for found, code in ((good, 0), (different, 1), (lost, 1)):
        monkeypatch.setattr(_main, "demo", lambda folder, *, found=found, **_: found)
        assert _main.main(["demo", "--json"]) == code
        assert json.loads(capsys.readouterr().out)["as_it_should"] is (code == 0)
        assert _main.main(["demo"]) == code
        assert ("As it should be." in capsys.readouterr().out) is (code == 0)


def test_a_demo_that_cannot_write_says_so(capsys, tmp_path):
    (tmp_path / "taken").write_text("a file")
    assert _main.main(["demo", "--out", str(tmp_path / "taken")]) == 1
    assert capsys.readouterr().err.startswith(f"--out: no figure can be written to {tmp_path / 'taken'}: ")


def test_control_c_is_130(monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(_main, "demo", stop)
    assert _main.main(["demo"]) == 130


@pytest.mark.script
def test_the_demo_in_a_process_of_its_own(tmp_path):
    done = started("demo", "--json", "--chains", "2000", "--out", "made", where=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["as_it_should"] and told["SGD"]["n"] == told["SDE"]["n"] == 2000
    assert (tmp_path / "made" / "wells.png").read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [tmp_path / "made"]


def test_a_seed_is_refused_where_jax_would_fail():
    with pytest.raises(SystemExit) as ended:
        _main.main(["demo", "--seed", str(2**70)])
    assert ended.value.code == 2


def test_words_fit_any_locale():
    code = "from sde_sgd._command_line import _main; _main._say('1 ± 2 η')"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, b"1 ? 2 ?")
