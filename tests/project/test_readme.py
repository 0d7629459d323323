"""What README and pages show works: their Python runs from top to bottom, their commands and files exist."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
NAMES = [page.name for page in PAGES]
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```(?:sh|shell|bash|console)\n(.*?)^```$|^((?: {4}.*\n)+)", re.MULTILINE | re.DOTALL)
# added at the end of a page's program; what is not there is run and no more
CHECKS = {
    "README.md": """
assert dict(result.dataset.sizes) == {"batch_size": 4, "ratio": 4, "seed": 4, "epoch": 6}
assert diagnosis.sde_holds is False and "because of step size" in str(diagnosis)
made = {path.name for path in Path("figures").iterdir()}
assert made == {"wells.png", "sweep.png"}, made
""",
    "cluster.md": 'assert (result["loss"] > 0).all() and Path("results/digits.nc").exists()',
    "sweeps.md": """
assert ss.read_sweep("results/digits.nc").dataset.identical(result.dataset)
assert curves["loss"].sizes["schedule"] == 3
""",
    "long_runs.md": """
assert Path("checkpoints/well/sde_sgd.json").exists()
assert longer.steps == 2000 and more.steps == 2500
""",
    "own_problem.md": "assert abs(np.cov(np.asarray(found.theta).T)[0, 0] / exact[0, 0] - 1) < 0.1",
    "own_card.md": "assert status == 0",
    "architecture.md": "assert float(abs(signed.theta).max()) <= 0.05 + 1e-6",
    "accelerators.md": "assert float(abs(tried.theta - plain.theta).max()) < 1e-4",
    "does_the_sde_hold.md": 'assert diagnosis.sde_holds is False and Path("figures/diagnosis.png").exists()',
    "reports.md": 'assert sum(card["verdict"] == "reproduced" for card in report["cards"]) > 20',
}


def text_of(name):
    return (README if name == "README.md" else ROOT / "docs" / name).read_text()


def program_of(name):
    """All Python of a page as one; that of a job of a cluster, which reads its number, once for each job."""
    blocks = PYTHON.findall(text_of(name))
    if name == "cluster.md":
        job, merge = blocks
        jobs = [f"import sys\nsys.argv = ['job', '{number}']\n{job}" for number in range(5)]
        blocks = [*jobs, merge]
    return "\n".join(["from pathlib import Path\n", *blocks, CHECKS.get(name, "")])


@pytest.mark.script
@pytest.mark.parametrize("name", [name for name in NAMES if PYTHON.search(text_of(name))])
def test_all_python_of_a_page_runs_in_order_in_one_process(name, tmp_path):
    script = tmp_path / "page.py"
    script.write_text(program_of(name))
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
    if name == "cluster.md":
        assert re.findall(r"SweepPart\(part=\((\d), 5\), chain: (\d+)", done.stdout)[-1] == ("4", "16")
    if name == "escape.md":
        found = (float(line) for line in re.findall(r"^\D*([\d.]+e-\d+)", done.stdout, re.MULTILINE))
        counted, split, exact, leading = found
        assert abs(leading / exact - 1) < 0.5
        assert abs(counted / exact - 1) < 0.08
        assert abs(split / exact - 1) < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_no_block_is_without_its_imports(name):
    """Each name of a module that a block uses has been imported in it or before it."""
    imported = set()
    for block in PYTHON.findall(text_of(name)):
        for line in re.findall(r"^(?:from \S+ )?import (.*)$", block, re.MULTILINE):
            imported |= {one.split(" as ")[-1].strip() for one in line.split(",")}
        used = set(re.findall(r"(?<![\w.])(ss|jax|jnp|np|os|optax|diffrax|eqx|functools|json)\.", block))
        assert used <= imported


def test_a_researcher_reads_the_readme_in_two_minutes():
    assert len(README.read_text().splitlines()) <= 150


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_files_of_a_page_exist(name):
    text = text_of(name)
    folder = ROOT if name == "README.md" else ROOT / "docs"
    shown = "".join(block.group() for block in SHELL.finditer(text))
    commands = {*re.findall(r"^ *make ([a-z-]+)", shown, re.MULTILINE), *re.findall(r"`make ([a-z-]+)", text)}
    assert commands <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    scripts = re.findall(r"(examples/\w+\.py)", text)
    modules = {one.rstrip(".") for one in re.findall(r"python -m ([\w.]+)", text)}
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", without_code(text)) if "://" not in link]
    for path in scripts:
        assert (ROOT / path).exists(), path
    for path in links:
        assert (folder / path).exists(), path
    for module in modules - {"venv", "pip"}:
        paths = [folder / module.replace(".", "/") for folder in (ROOT, ROOT / "tests")]
        assert any(one.with_suffix(".py").exists() or (one / "__main__.py").exists() for one in paths), module
    if name == "README.md":
        assert commands and modules | set(scripts) | set(links)


def without_code(text):
    return re.sub(r"^```.*?^```$|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)


def options_shown():
    """Script or module → the options that some page shows of it in a command."""
    found = {}
    for name in NAMES:
        for block in SHELL.finditer(text_of(name)):
            for line in (block.group(1) or block.group(2)).splitlines():
                command = re.search(r"python (-m [\w.]+|examples/\w+\.py)([^#]*)", line)
                if command:
                    found.setdefault(command.group(1), set()).update(
                        re.findall(r"--[a-z-]+", command.group(2))
                    )
    return {command: options for command, options in found.items() if options}


@pytest.mark.script
@pytest.mark.parametrize("command", sorted(options_shown()))
def test_a_command_knows_the_options_that_pages_show_of_it(command):
    assert options_shown()[command] <= options_of(command)


def test_options_are_looked_for_in_commands():
    assert {"-m paper_checks", "examples/sweep_job_array.py"} <= set(options_shown())
    assert "--part" in options_shown()["examples/sweep_job_array.py"]


@functools.cache
def options_of(command):
    done = subprocess.run(
        [sys.executable, *command.split(), "--help"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(re.findall(r"--[a-z-]+", done.stdout))
