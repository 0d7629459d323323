"""Every class that stands for a paper is cited with it."""

import pytest
from bibtex import read, whole
from test_printing import EXAMPLES, diagram

import sde_sgd as ss
from sde_sgd._citation._topics import CLASSES, PROCESSES

LIGHT = (
    ss.validity.WeakError,
    ss.validity.LargestBatch,
    ss.escape.EscapeRate,
    ss.escape.SplittingRate,
    ss.statistics.Family,
    ss.statistics.TailIndex,
    ss.theory.PassageTime,
    ss.theory.PowerLawEscape,
    ss.theory.DiffusionTheory,
    ss.curvature.Eigenpairs,
    ss.Hyperparameters,
    ss.validity.Diagnosis,
)


@pytest.mark.parametrize("kind", LIGHT, ids=lambda kind: kind.__name__)
def test_classes_with_a_paper_have_it(kind):
    found = ss.citation(EXAMPLES[kind][0]())
    assert found.references
    assert set(CLASSES[kind.__name__].keys) <= {one.key for one in found.references}
    for kind_of, fields in read(found.bibtex).values():
        whole(kind_of, fields)


def test_the_classes_named_are_there():
    public = {kind.__name__ for kind in EXAMPLES}
    assert set(CLASSES) <= public
    assert set(PROCESSES) <= public


def test_a_phase_diagram_is_cited():
    assert [one.key for one in ss.citation(diagram()).references] == ["jastrzebski2017three"]
