"""What is installed, what the machine has, and what is missing for what, with a line of advice for each."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_sgd._command_line._features import EXCLUDED, FEATURES, REQUIRED, name_of, satisfies, version_of
from sde_sgd._platform._cpu import available_cores
from sde_sgd._platform._devices import device_name
from sde_sgd._platform.reading._origin import versions

# rows of the products that the excluded release gets wrong
_ROWS = 32_769


@dataclass(frozen=True)
class Health:
    """What was found.

    Attributes:
        versions: name → release, None where there is none.
        devices: what JAX computes on, in words.
        backend: "cpu", "gpu", "tpu", or "" if there is none.
        cores: of the CPU that this process may use.
        features: extra → names of the packages that it lacks.
        mend: what must be mended, a line each.
        advice: what would help, a line each.
    """

    versions: dict[str, str | None]
    devices: list[str]
    backend: str
    cores: int
    features: dict[str, tuple[str, ...]]
    mend: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether nothing must be mended."""
        return not self.mend

    def content(self) -> dict[str, Any]:
        """As plain values."""
        told = {
            name: {"purpose": FEATURES[name].purpose, "lacks": list(lacks)}
            for name, lacks in self.features.items()
        }
        return {
            "well": self.well,
            "mend": self.mend,
            "advice": self.advice,
            "versions": self.versions,
            "backend": self.backend,
            "devices": self.devices,
            "cores": self.cores,
            "features": told,
        }

    def __str__(self) -> str:
        width = max(map(len, self.versions))
        lines = [f"  {name:{width}}  {one or 'not there'}" for name, one in self.versions.items()]
        counted = [f"  {self.devices.count(one)} x {one}" for one in dict.fromkeys(self.devices)]
        ready = [
            f"  {name:{width}}  {FEATURES[name].purpose}: {'lacks ' + ', '.join(lacks) if lacks else 'ready'}"
            for name, lacks in self.features.items()
        ]
        lines = ["versions", *lines, f"devices ({self.backend or 'none'}; {self.cores} cores)", *counted]
        lines += ["features", *ready]
        lines += ["must be mended", *(f"  ! {one}" for one in self.mend)] if self.mend else []
        lines += ["advice", *(f"  - {one}" for one in self.advice)] if self.advice else []
        return "\n".join([*lines, "something must be mended" if self.mend else "all is well"])


def examined() -> Health:
    """Look at everything. The first array is made here: call `use_cpu` before, or not at all."""
    installed = {name_of(one): version_of(name_of(one)) for one in REQUIRED}
    mend = version_faults(installed)
    devices, backend = [], ""
    try:
        found = jax.devices()
        devices, backend = [f"{one.platform}: {device_name(one)}" for one in found], found[0].platform
        mend += arithmetic_faults()
    except Exception as error:  # noqa: BLE001 - whatever a driver raises is what is to be told
        mend.append(f"JAX finds no device that works: {' '.join(str(error).split())[:300]}")
    features = {name: one.lacks() for name, one in FEATURES.items()}
    cores = available_cores()
    advice = device_advice(
        backend, len(devices), cores, gpu_there=_has_gpu(), cuda_there=not features["cuda"]
    )
    advice += [
        f"{FEATURES[name].purpose}: {FEATURES[name].advice()}"
        for name, lacks in features.items()
        if lacks and name not in ("cuda", "tpu")
    ]
    told = {name: one for name, one in versions().items() if name in ("python", "sde_sgd")}
    return Health({**told, **installed}, devices, backend, cores, features, mend, advice)


def version_faults(installed: dict[str, str | None]) -> list[str]:
    """Packages that are missing, too old or excluded."""
    faults = []
    for requirement in REQUIRED:
        name = name_of(requirement)
        version = installed.get(name)
        if version is None:
            faults.append(f"{name} is not installed: pip install '{requirement}'")
        elif why := EXCLUDED.get((name, version)):
            faults.append(f"{name} {version} {why}: pip install '{requirement}'")
        elif not satisfies(requirement, version):
            faults.append(f"{name} {version} is too old: pip install '{requirement}'")
    return faults


def arithmetic_faults() -> list[str]:
    """Whether products and sums come out right on the first device."""
    generator = np.random.default_rng(0)
    matrix, rows = generator.normal(size=(3, 3)), generator.normal(size=(_ROWS, 3)) + 1
    with jax.default_matmul_precision("float32"):
        product = jax.jit(lambda a, x: jax.vmap(lambda row: a @ row)(x).sum(0))
        found = product(jnp.asarray(matrix, jnp.float32), jnp.asarray(rows, jnp.float32))
    exact = (rows @ matrix.T).sum(0)
    if np.allclose(np.asarray(found), exact, rtol=1e-3, atol=1e-3 * _ROWS):
        return []
    return [
        f"sums of products come out wrong, {np.asarray(found)} for {exact}: install another release of jax"
    ]


def device_advice(backend: str, count: int, cores: int, *, gpu_there: bool, cuda_there: bool) -> list[str]:
    """What would use more of the machine."""
    advice = []
    if backend == "cpu" and count < cores:
        advice.append(
            f"to JAX the {cores} cores are {count} device{'s' if count > 1 else ''}: "
            f"ss.use_cpu(), first in a program, makes each of them one"
        )
    if gpu_there and backend == "cpu":
        advice.append(
            "there is an NVIDIA GPU, and JAX does not see it: look at its driver with nvidia-smi"
            if cuda_there
            else f"there is an NVIDIA GPU, and JAX cannot use it: {FEATURES['cuda'].advice()}"
        )
    return advice


def _has_gpu() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
