"""What a measurement was made on: hardware and versions, no names of machines or users."""

import importlib.metadata
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass, field

import jax

import sde_sgd as ss

_PEERS = ("diffrax", "numba", "pyhessian", "torch", "torchsde")


@dataclass(frozen=True)
class Environment:
    """Where the numbers come from.

    Attributes:
        device: what jax ran on.
        devices: how many of them; on a processor, virtual ones.
        processor: what the peers without jax ran on.
        cores: how many of its cores this process may use.
        jax: version.
        python: version.
        peers: name → version of the peers that are installed.
        vector_bits: width of vectors that `XLA_FLAGS` asks for, None where it is XLA's own.
    """

    device: str
    devices: int
    processor: str
    cores: int
    jax: str
    python: str
    peers: dict[str, str] = field(default_factory=dict)
    vector_bits: int | None = None

    def header(self) -> str:
        """Two lines for the top of the table."""
        where = "" if self.device == self.processor else f"; others on {self.processor}"
        count = f"{self.devices} jax device{'s' if self.devices > 1 else ''}"
        if self.vector_bits is not None:
            count += f" with vectors of {self.vector_bits} bits"
        peers = ", ".join(f"{name} {version}" for name, version in self.peers.items())
        return (
            f"device {self.device}{where}; {self.cores} cores; {count}; jax {self.jax}; "
            f"python {self.python}\npeers: {peers or 'none installed'}"
        )

    @property
    def title(self) -> str:
        """The device in a few words: "AMD EPYC, 2 cores"."""
        plain = re.sub(r"\((R|TM|C)\)|@.*", "", self.device, flags=re.IGNORECASE).strip()
        if self.device == self.processor:
            return f"{plain}, {self.cores} cores"
        return plain if self.devices == 1 else f"{self.devices} {plain}"

    @property
    def slug(self) -> str:
        """The device in lower-case letters, digits and hyphens, for file names."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def environment(cpu: ss.CPUUse) -> Environment:
    """Ask this machine, whose CPU has been set so."""
    return Environment(
        device=ss.device_name(),
        devices=jax.device_count(),
        processor=ss.device_name(jax.devices("cpu")[0]),
        cores=cores(),
        jax=jax.__version__,
        python=platform.python_version(),
        peers=_peer_versions(),
        vector_bits=cpu.vector_bits,
    )


def cores() -> int:
    """Cores that this process may use: `use_cpu` has made a device of each."""
    return jax.local_device_count("cpu")


def _peer_versions() -> dict[str, str]:
    versions = {}
    if shutil.which("gcc"):
        answer = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=False)
        versions["gcc"] = answer.stdout.strip() or "unknown"
    for name in _PEERS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
