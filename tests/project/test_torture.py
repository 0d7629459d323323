"""A few trials of what `make torture` does many times, and its table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
# of the whole: some ten trials, and a hundred of what is quick
AMOUNTS = {"kills": 0.03, "signals": 0.1, "checkpoints": 0.02}


@pytest.mark.script
@pytest.mark.parametrize("name", AMOUNTS)
def test_some_of_the_torture_ends_as_documented(name, tmp_path):
    """Other trials every time: what it prints repeats them."""
    seed = int.from_bytes(os.urandom(3))
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "torture", "--only", name, "--amount", str(AMOUNTS[name])]
    command += ["--seed", str(seed), "--jobs", "2", "--out", str(tmp_path / "table.md")]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    page = (tmp_path / "table.md").read_text()
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}\n{page}"
    assert f"seed {seed}" in page
    assert "Not as documented" not in page
    assert page.count(f"| `{name}` |") >= 2
