"""`citation`: the equations, papers and software behind a result."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sde_sgd._checks import short
from sde_sgd._citation._papers import PAPERS
from sde_sgd._citation._reference import Reference
from sde_sgd._citation._things import DATA, software
from sde_sgd._citation._topics import (
    CLASSES,
    DENSITIES,
    PROCESSES,
    SDES,
    TESTS,
    Topic,
    of_data,
    of_explorer,
    of_provenance,
)
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown
from sde_sgd._platform.reading._origin import versions
from sde_sgd.data import Dataset
from sde_sgd.problems import Problem
from sde_sgd.processes import Process
from sde_sgd.simulation import _provenance

_WIDTH = 100


@dataclass(frozen=True, repr=False)
class Citation(Shown):
    """What to cite. Print it, or take `.bibtex`.

    Attributes:
        of: what was asked about.
        topics: what it rests on: a few words, an equation, and keys of references.
        references: papers, books and data sets, in the order of the topics.
        software: this package and what it computed with, in the releases of the run where they are known.
    """

    of: str
    topics: tuple[Topic, ...]
    references: tuple[Reference, ...]
    software: tuple[Reference, ...]

    @property
    def bibtex(self) -> str:
        """Papers and software as BibTeX, in UTF-8, an entry each."""
        return "\n\n".join(one.bibtex() for one in (*self.references, *self.software)) + "\n"

    def __repr__(self) -> str:
        count = f"{len(self.references)} references, {len(self.software)} programs"
        return f"Citation({self.of}: {count})"

    def __str__(self) -> str:
        lines = [self.of]
        for topic in self.topics:
            equation = f": {topic.equation}" if topic.equation else ""
            lines += _wrapped(f"{topic.what}{equation} {self._numbers(topic)}".rstrip())
        lines.append("references" if self.references else "no paper is known for it")
        for number, one in enumerate(self.references, 1):
            lines += _wrapped(f"[{number}] {one}")
        lines.append("software")
        for one in self.software:
            lines += _wrapped(one.released)
        return "\n".join(lines)

    def _panel(self) -> Panel:
        table = [(topic.what, topic.equation, self._numbers(topic)) for topic in self.topics]
        told = [f"[{number}] {one}" for number, one in enumerate(self.references, 1)]
        notes = (*told, *(one.released for one in self.software))
        return Panel("Citation", self.of, columns=("what", "equation", "source"), table=table, notes=notes)

    def _numbers(self, topic: Topic) -> str:
        order = [one.key for one in self.references]
        return f"[{', '.join(str(order.index(key) + 1) for key in topic.keys)}]" if topic.keys else ""


def citation(result: Any) -> Citation:
    """The equations, papers and software behind a result.

        print(citation(result))
        Path("sources.bib").write_text(citation(result).bibtex, encoding="utf-8")

    What a run or sweep rests on is read from its provenance, so that a saved one tells the same, with the
    releases of the time. What is not certain is left out: models, data and optimizers of your own are yours
    to cite.

    Args:
        result: a `Result`, `SweepResult` or its dataset; a diagnosis, phase diagram, test, rate of escape,
            law or time of `theory`; what `explorer.simulate` found; a process, problem, `Dataset` or
            `Hyperparameters`.

    Returns:
        `Citation`: print it, or write its `bibtex` to a file.

    Raises:
        ValueError: for anything that is not of this package and has no provenance.
    """
    told = _provenance_of(result)
    name = type(result).__name__
    topics = [] if told is None else of_provenance(told)
    if told is None and not type(result).__module__.startswith("sde_sgd."):
        raise ValueError(
            f"result must be a Result, SweepResult, test, diagnosis, law or the like of sde_sgd, got "
            f"{short(result)}; of an xarray.Dataset its attribute 'provenance' is read."
        )
    topics = list(dict.fromkeys([*_of_class(result), *topics]))
    keys = list(dict.fromkeys(key for topic in topics for key in topic.keys))
    known = PAPERS | DATA
    here = versions("scipy", "xarray")
    then = here if told is None else here | told.get("versions", {})
    used = software(then, _programs(name, told))
    return Citation(_name(name, told), tuple(topics), tuple(known[key] for key in keys), tuple(used))


def _provenance_of(result: Any) -> dict[str, Any] | None:
    """Where it has one, or holds something that does."""
    if isinstance(result, Process):
        return {**_provenance.of_process(result), **_provenance.of_problem(result.problem)}
    if isinstance(result, Problem):
        return _provenance.of_problem(result)
    held = getattr(result, "provenance", None)
    if isinstance(held, Mapping):
        return dict(held)
    inner = getattr(result, "result", None)
    attributes = getattr(getattr(inner if inner is not None else result, "dataset", result), "attrs", {})
    if isinstance(attributes, Mapping) and isinstance(attributes.get("provenance"), str):
        return dict(json.loads(attributes["provenance"]))
    problem = getattr(result, "problem", None)
    return _provenance.of_problem(problem) if isinstance(problem, Problem) else None


def _of_class(result: Any) -> list[Topic]:
    """What its class, or its name, says."""
    name = type(result).__name__
    found = [CLASSES[name]] if name in CLASSES else []
    if isinstance(result, Dataset):
        return of_data(result.name)
    if name in ("WellNumbers", "DigitsNumbers"):
        return of_explorer(result)
    if name.startswith("Density"):
        called = str(result.name).partition(", coordinate")[0]
        found += [DENSITIES[called]] if called in DENSITIES else []
    if name == "HypothesisTest":
        found += [topic for begin, topic in TESTS.items() if result.name.startswith(begin)]
    if name == "WeakError" and result.process in PROCESSES:
        found.append(PROCESSES[result.process])
    return found


def _programs(name: str, told: Mapping[str, Any] | None) -> tuple[str, ...]:
    process = {} if told is None else told.get("process") or {}
    used = ["jax", "equinox", "numpy"]
    if process.get("class") in SDES or name in ("Diagnosis", "WeakError", "WellNumbers"):
        used.append("diffrax")
    if "optax" in str(process.get("optimizer")) or "optax" in str(process.get("schedule")):
        used.append("optax")
    if told is None or name in ("Diagnosis", "PhaseDiagram"):
        used.append("scipy")
    if (told or {}).get("made_by") == "sweep":
        used.append("xarray")
    return tuple(used)


def _name(name: str, told: Mapping[str, Any] | None) -> str:
    """`Result: SGD on DoubleWell`."""
    parts = [(told or {}).get(part) or {} for part in ("process", "problem")]
    classes = [str(part["class"]) for part in parts if part.get("class")]
    said = " on ".join(one for one in classes if one != name)
    return f"{name}: {said}" if said else name


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="  ", subsequent_indent="      ", break_long_words=False
    )
