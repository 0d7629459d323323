"""What the README shows works: its Python runs from top to bottom, its commands and files exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
# what would take an hour here, and is the same with less
SMALLER = {"1_000_000": "2_000", "steps=20_000": "steps=2_000"}

AFTER_THE_NETWORK = 'record={"loss": net.loss, "accuracy": net.accuracy},\n)\n'
CHECKS_OF_THE_NETWORK = 'assert sgd.record["accuracy"].shape == (11, 8)\n'
CHECKS = """
assert dict(result.dataset.sizes) == {"batch_size": 4, "ratio": 4, "seed": 4, "epoch": 6}
assert ss.read_sweep("results/digits.nc").dataset.identical(result.dataset)
assert curves["loss"].shape == (3, 4, 7)
assert diagnosis.pilot.chains == 32
assert float(watch['norm'](theta)) > 0
"""


@pytest.mark.script
def test_all_python_of_the_readme_runs_in_order_in_one_process(tmp_path):
    """At the sizes that are written, but for the million chains."""
    program = "\n".join(BLOCKS)
    for written, less in SMALLER.items():
        assert written in program
        program = program.replace(written, less)
    program = program.replace(AFTER_THE_NETWORK, AFTER_THE_NETWORK + CHECKS_OF_THE_NETWORK, 1) + CHECKS
    script = tmp_path / "readme.py"
    script.write_text(program)
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "checkpoints" / "well" / "sde_sgd.json").exists()
    made = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"wells.png", "sweep.png", "loss.png", "diagnosis.png"} <= made


def said_by(program, folder):
    """What a program prints that runs in a folder of its own."""
    script = folder / "program.py"
    script.write_text(program)
    done = subprocess.run(
        [sys.executable, script],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.script
def test_the_python_of_the_page_on_clusters_runs(tmp_path):
    """Its five jobs one after the other, then what puts them together."""
    page = (ROOT / "docs" / "cluster.md").read_text()
    job, merge = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    jobs = "\n".join(f"import sys\nsys.argv = ['job', '{number}']\n{job}" for number in range(5))
    said = said_by(f"{jobs}\n{merge}\nassert (result['loss'] > 0).all()\n", tmp_path)
    assert re.findall(r"SweepPart\(part=\((\d), 5\), chain: (\d+)", said)[-1] == ("4", "16")
    assert (tmp_path / "results" / "digits.nc").exists()


@pytest.mark.script
def test_the_python_of_the_page_on_escape_runs(tmp_path):
    """Its two rates and the exact one agree."""
    (block,) = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / "escape.md").read_text(), re.MULTILINE | re.DOTALL
    )
    said = said_by(block, tmp_path)
    counted, split, exact = (float(line) for line in re.findall(r"^\D*([\d.]+e-\d+)", said, re.MULTILINE))
    assert abs(counted / exact - 1) < 0.08
    assert abs(split / exact - 1) < 0.2


def test_no_block_is_without_its_imports():
    """Each name of a module that a block uses has been imported in it or before it."""
    imported = set()
    for block in BLOCKS:
        for line in re.findall(r"^(?:from \S+ )?import (.*)$", block, re.MULTILINE):
            imported |= {name.split(" as ")[-1].strip() for name in line.split(",")}
        used = set(re.findall(r"(?<![\w.])(ss|jax|np|os|optax|diffrax|functools)\.", block))
        assert used <= imported


def test_commands_and_files_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = re.findall(r"(?:^    |`)make ([a-z-]+)", README, re.MULTILINE)
    assert commands
    assert set(commands) <= targets
    scripts = re.findall(r"python (examples/\w+\.py)", README)
    modules = [name.replace(".", "/") for name in re.findall(r"python -m ([\w.]+)", README)]
    assert scripts
    assert modules
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    folders = re.findall(r"\| `(\w+/)` \|", README)
    for path in (*scripts, *links, *folders):
        assert (ROOT / path).exists(), path
    for module in modules:
        assert (ROOT / f"{module}.py").exists() or (ROOT / module / "__main__.py").exists(), module
