"""The CPU as several devices with wide vectors: set before the first array, refused after."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd._platform import _cpu

ROOT = Path(ss.__file__).parents[1]
WIDE = "--xla_cpu_prefer_vector_width=512"


def alone(code, **environment):
    """What a program of its own says, which has not touched JAX before."""
    given = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", f"import os, jax, sde_sgd as ss\n{code}"],
        env={**given, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.script
def test_a_program_has_as_many_devices_as_it_asks_for_and_may_ask_twice():
    code = """
print(ss.use_cpu(3) == ss.use_cpu(3))
ss.use_cpu(2)
print(len(jax.devices()), os.environ.get("XLA_FLAGS"))
print(ss.use_cpu(2).devices)
print(jax.jit(lambda x: x + 1)(1))
"""
    asked, devices, again, worked = alone(code)
    width = WIDE if _cpu._has_wide_vectors() and _cpu._is_known() else None
    assert (asked, devices, again, worked) == ("True", f"2 {width}", "2", "2")


def test_what_the_user_has_set_stays():
    code = """
print(ss.use_cpu(2).vector_bits, os.environ["XLA_FLAGS"])
print(jax.device_count())
"""
    flags = "--xla_cpu_prefer_vector_width=128 --xla_cpu_use_onednn=false"
    assert alone(code, XLA_FLAGS=flags) == [f"128 {flags}", "2"]


def test_a_later_call_takes_back_what_an_earlier_one_has_set():
    code = """
ss.use_cpu(2)
print(ss.use_cpu(2, wide_vectors=False), repr(os.environ["XLA_FLAGS"]))
jax.devices()
try:
    ss.use_cpu(2)
except ValueError as error:
    print(error)
"""
    said = alone(code, XLA_FLAGS="--xla_cpu_use_onednn=false")
    assert said[0] == "CPUUse(devices=2, vector_bits=None, note='') '--xla_cpu_use_onednn=false'"
    if _cpu._has_wide_vectors() and _cpu._is_known():
        assert "cannot be set any more" in said[1]


def test_narrow_vectors_leave_the_environment_alone():
    code = "print(ss.use_cpu(wide_vectors=False), os.environ.get('XLA_FLAGS'), jax.device_count())"
    cores = _cpu.available_cores()
    assert alone(code) == [f"CPUUse(devices={cores}, vector_bits=None, note='') None {cores}"]


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("jax.random.key(0)", "cannot be set any more: JAX has been initialised"),
        ("jax.config.update('jax_num_cpu_devices', 2); jax.devices()", "and has 2 cpu device(s)"),
        ("os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=4'", "holds a number of devices"),
    ],
)
def test_what_comes_too_late_or_is_set_elsewhere_is_refused(before, told):
    code = f"""
{before}
flags = os.environ.get("XLA_FLAGS")
try:
    ss.use_cpu(2)
except ValueError as error:
    print(error)
print(os.environ.get("XLA_FLAGS") == flags)
"""
    said, same = alone(code)
    assert told in said and "cores=2" in said and same == "True"


def test_the_library_has_not_been_told_to_change_anything():
    assert alone("print(os.environ.get('XLA_FLAGS'), jax.config.jax_num_cpu_devices)") == ["None -1"]


@pytest.mark.parametrize("cores", [0, -1, 1.5, "2", True])
def test_a_number_of_cores_is_an_integer_above_zero(cores):
    with refused(match="cores must be"):
        ss.use_cpu(cores)


def test_here_jax_has_been_initialised():
    jax.devices()
    with refused(match="in a notebook restart the kernel"):
        ss.use_cpu(7)


@pytest.mark.parametrize("found", [True, False])
def test_wide_vectors_are_taken_where_the_processor_and_the_release_have_them(found, monkeypatch):
    monkeypatch.setattr(_cpu, "_has_wide_vectors", lambda: found)
    bits, note = _cpu._width("")
    assert (bits, note) == (512, "") if found else (None, note) and "512" in note
    monkeypatch.setattr(_cpu, "_has_wide_vectors", lambda: True)
    monkeypatch.setattr(_cpu, "_is_known", lambda: found)
    bits, note = _cpu._width("")
    assert (bits, note) == (512, "") if found else bits is None and "jaxlib" in note
