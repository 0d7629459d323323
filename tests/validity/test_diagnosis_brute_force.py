"""`diagnose` against ensembles, on settings that a generator draws: the criteria it was made for."""

import pytest
from diagnosis_brute_force import brings_back, in_parallel, summary, table, wrong

MOST = 10  # of a draw; the table in docs has all of two


@pytest.mark.script
def test_never_far_from_the_truth():
    """At most one in five not told; no "yes" beyond 1.3, no "no" within 1.05, and the right cause first."""
    rows = in_parallel(1, most=MOST)
    said = f"{summary(rows)}\n{table(rows)}"
    assert len(rows) == MOST
    assert not [row for row in rows if wrong(row)], said
    assert sum(row["verdict"] == "cannot tell" for row in rows) <= MOST // 5, said


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"verdict": "yes"}, "yes beyond 1.3"),
        ({"verdict": "yes", "ratio": 0.5}, "yes beyond 1.3"),
        ({"verdict": "yes", "ratio": 1.31, "ratio_error": 0.02}, None),
        ({"verdict": "cannot tell"}, None),
        ({"ratio": 1.04}, "no within 1.05"),
        ({"ratio": 0.97}, "no within 1.05"),
        ({"ratio": 1.0, "sides": 0.9, "cause": "skewness", "without": (1.01, 0.01)}, None),
        ({"ratio": 1.0, "sides": 1.02, "cause": "skewness"}, "no within 1.05"),
        ({"without": (1.8, 0.01)}, "wrong cause"),
        ({"without": None, "cause": "unexplained"}, "wrong cause"),
    ],
)
def test_what_counts_as_wrong(changes, expected):
    row = {
        "ratio": 2.0,
        "ratio_error": 0.01,
        "sides": 2.0,
        "verdict": "no",
        "cause": "step size",
        "without": (1.02, 0.01),
    }
    row |= changes
    assert wrong(row) == expected
    assert brings_back(row | {"without": (1.05, 0.01)})
