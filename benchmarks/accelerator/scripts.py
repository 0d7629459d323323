"""What is there as a script already: the figure of η/B at ten million chains, and a card at full size."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.accelerator._step import Found

_ROOT = Path(__file__).parents[2]
_CHAINS = {True: 2_000, False: 10_000_000}
_CARD = {True: ("gibbs", "smoke"), False: ("endpoint", "full")}


def invariance(smoke: bool, out: Path) -> Found:
    """The example's table and figure: 16 settings of η and B, which collapse along equal η/B."""
    chains = _CHAINS[smoke]
    told = _run(
        "examples/eta_over_batch_invariance.py", "--chains", str(chains), "--out", str(out.absolute())
    )
    return Found(told, {"chains": chains})


def card(smoke: bool, out: Path) -> Found:
    """A card of a paper at a size that takes two cores more than an hour, with its verdict."""
    name, scale = _CARD[smoke]
    report = (out / f"card-{name}-{scale}").absolute()
    told = _run("-m", "paper_checks", "--only", name, "--scale", scale, "--out", str(report))
    return Found(told, {"card": name, "scale": scale})


def _run(*arguments: str) -> list[str]:
    """What a script prints.

    Raises:
        RuntimeError: if it fails, with its last words.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=_ROOT,
        # the package need not be installed
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError(f"status {done.returncode}: {words[-1] if words else 'no message'}")
    return [line.rstrip() for line in done.stdout.splitlines() if line.strip()]
