"""What stands beside the code: citation, change log, contributing, templates, the workflow."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOW = ROOT / ".github" / "workflows" / "tests.yml"
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.md"))


def test_the_citation_is_of_this_version_and_names_the_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format asks for
    assert citation["version"] == PROJECT["version"] and citation["license"] == PROJECT["license"]
    named = {one["identifiers"][0]["value"] for one in citation["references"]}
    cards = "\n".join(path.read_text() for path in (ROOT / "paper_checks").glob("*/_paper.py"))
    assert named == {f"arXiv:{number}" for number in re.findall(r"\d{4}\.\d{5}", cards)}


def test_the_change_log_knows_the_version():
    log = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in log or f"## {PROJECT['version']}" in log


def test_the_workflow_takes_actions_by_their_commit_and_runs_targets_that_exist():
    text = WORKFLOW.read_text()
    uses = re.findall(r"uses: (.*)", text)
    assert uses and all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use) for use in uses)
    jobs = yaml.safe_load(text)["jobs"]
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    targets = {step["run"] for job in jobs.values() for step in job["steps"] if "run" in step}
    for target in targets:
        subprocess.run([*target.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)
    pythons = jobs["tests"]["strategy"]["matrix"]["python"]
    named = [
        line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", line)
    ]
    assert pythons == named


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_has_a_name_and_asks_for_something(template):
    _, front, body = template.read_text().split("---\n", 2)
    assert {"name", "about"} <= set(yaml.safe_load(front))
    assert body.count("**") >= 6


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_what_they_name_exists(name):
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
    for target in re.findall(r"make ([a-z-]+)", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
