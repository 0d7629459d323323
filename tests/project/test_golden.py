"""What is computed is what was computed before: `tests/golden` says how it is kept."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from golden import KEPT, compare


@pytest.mark.script
def test_every_value_is_as_it_was():
    """In a process of its own: devices and settings of the tests change last bits."""
    here = Path(__file__).parents[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    done = subprocess.run(
        [sys.executable, "-m", "golden"],
        cwd=here.parent,
        env={**environment, "PYTHONPATH": str(here)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_comparison_sees_a_bit_and_a_value_that_is_gone():
    kept = json.loads(KEPT.read_text())
    assert compare(kept, kept) == []
    name = next(iter(kept["values"]))
    bit, gone, elsewhere = (copy.deepcopy(kept) for _ in range(3))
    bit["values"][name]["digest"] = "0"
    gone["values"].pop(name)
    assert len(compare(kept, bit)) == len(compare(kept, gone)) == 1
    # on another machine the last bits are free, and no more than those
    elsewhere["machine"] = {"jax": "0"}
    elsewhere["values"][name]["digest"] = "0"
    assert compare(kept, elsewhere) == []
    elsewhere["values"][name]["some"][0] += 0.1
    assert len(compare(kept, elsewhere)) == 1
