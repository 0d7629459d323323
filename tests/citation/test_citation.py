"""The right papers for each process, law and test, as text and as BibTeX that parses."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
import xarray as xr
from bibtex import read, whole
from helpers import refused
from scipy import stats
from shown_html import texts

import sde_sgd as ss
from sde_sgd._citation import _topics
from sde_sgd._citation._papers import PAPERS
from sde_sgd._citation._reference import Reference
from sde_sgd._citation._things import DATA, DATA_NAMES
from sde_sgd._citation._topics import CLASSES, DENSITIES, PROCESSES, TESTS, of_data, of_provenance

WELL = ss.problems.DoubleWell(noise_variance=1.0)
QUIET, HEAVY = ss.Hyperparameters(0.1, 2), ss.Hyperparameters(0.1, 2, 0.5)
SKEWED = ss.problems.Quadratic(np.eye(2), noise=ss.problems.Diagonal([1.0, 2.0]))


def keys(thing):
    return [one.key for one in ss.citation(thing).references]


def programs(thing):
    return [one.key for one in ss.citation(thing).software]


def test_every_reference_is_a_whole_entry():
    for one in (PAPERS | DATA).values():
        ((key, (kind, fields)),) = read(one.bibtex()).items()
        assert (key, kind) == (one.key, one.kind)
        whole(kind, fields)
        # a preprint's number begins with its year and month
        if one.kind == "misc" and "eprint" in fields and fields["eprint"] > "0704":
            assert fields["year"] == f"20{fields['eprint'][:2]}"


def test_no_reference_is_there_twice_or_for_nothing():
    titles = [one.fields["title"].lower() for one in (PAPERS | DATA).values()]
    assert len(set(titles)) == len(titles) == len(PAPERS) + len(DATA)
    topics = [*PROCESSES.values(), *CLASSES.values(), *DENSITIES.values(), *TESTS.values()]
    used = {key for topic in topics for key in topic.keys} | set(DATA_NAMES.values())
    text = Path(_topics.__file__).read_text(encoding="utf-8")
    assert {key for key in PAPERS if f'"{key}"' not in text} == set()
    assert used <= set(PAPERS) | set(DATA)


def test_the_parser_sees_what_is_broken():
    with pytest.raises((AssertionError, IndexError)):
        read("@misc{a,\n  title = {{b}\n}")
    with pytest.raises(AssertionError):
        read("@misc{a,\n  title = {b}\n}\n@misc{a,\n  title = {b}\n}")
    with pytest.raises(AssertionError):
        whole("article", {"author": "A, B", "title": "t", "year": "2000"})


def test_what_tex_would_stumble_on_is_escaped():
    one = Reference("a", "misc", {"author": "A & B", "title": "50% of _#", "url": "https://a.b/c_d"})
    assert r"A \& B" in one.bibtex() and r"50\% of \_\#" in one.bibtex() and "c_d" in one.bibtex()


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        (ss.SGD(WELL, QUIET), ["robbins1951stochastic", "jastrzebski2017three", "smith2018bayesian"]),
        (ss.SGD(WELL, HEAVY), ["robbins1951stochastic", "polyak1964some", "jastrzebski2017three"]),
        (ss.SGD(WELL, QUIET, optimizer=optax.adam), ["robbins1951stochastic"]),
        (ss.Langevin(WELL, QUIET), ["li2017stochastic", "jastrzebski2017three", "leimkuhler2013rational"]),
        (ss.Langevin(WELL, QUIET, increments="two_point"), ["li2017stochastic", "kloeden1992numerical"]),
        (ss.SecondOrderLangevin(WELL, QUIET), ["li2017stochastic", "jastrzebski2017three"]),
        (ss.UnderdampedLangevin(WELL, HEAVY), ["li2019stochastic", "foster2021shifted"]),
        (ss.SVAG(WELL, QUIET, l=2), ["li2021validity", "jastrzebski2017three"]),
        (ss.SGLD(WELL, QUIET, temperature=0.1), ["welling2011bayesian"]),
        (ss.CentralFlow(WELL, QUIET), ["cohen2024understanding", "cohen2021gradient"]),
        (ss.WhiteNoiseGD(WELL, QUIET), []),
    ],
    ids=lambda one: type(one).__name__,
)
def test_each_process_has_its_papers(process, expected):
    found = keys(process)
    assert [one for one in expected if one not in found] == []
    for other in ("leimkuhler2013rational", "polyak1964some", "kloeden1992numerical", "foster2021shifted"):
        assert (other in found) == (other in expected)
    if len(expected) < 2:
        assert found == expected
    assert ss.citation(process).topics[0].equation
    assert ("diffrax" in programs(process)) == ("Langevin" in type(process).__name__)


def test_options_have_their_equations():
    first = {
        name: ss.citation(one).topics[0]
        for name, one in {
            "isotropic": ss.Langevin(SKEWED, QUIET, noise="isotropic"),
            "none": ss.Langevin(SKEWED, QUIET, noise="none"),
            "ratio": ss.SecondOrderLangevin(WELL, QUIET, fixed="ratio"),
            "batch_size": ss.SecondOrderLangevin(WELL, QUIET),
        }.items()
    }
    assert "Tr C" in first["isotropic"].equation
    assert first["none"].equation == "dθ = −∇L dt, t = ηk/(1 − m)"
    assert "tr(𝐃 ∇∇L)" in first["ratio"].equation and "tr(" not in first["batch_size"].equation
    assert "jastrzebski2017three" not in keys(ss.Langevin(SKEWED, QUIET, noise="none"))


def swept():
    return xr.Dataset({"loss": ("seed", np.ones(2))})


@functools.cache
def result():
    return ss.run(ss.Langevin(WELL, QUIET), chains=4, steps=2, key=jax.random.key(0), progress=False)


def test_a_result_is_cited_with_its_releases(tmp_path):
    found = ss.citation(result())
    assert found.of == "Result: Langevin on DoubleWell"
    said = str(found)
    assert f"jax {jax.__version__}: Bradbury" in said
    assert "[4] Leimkuhler, Matthews: Rational Construction" in said and "arXiv:1203.5428" in said
    assert max(map(len, said.splitlines())) <= 100
    entries = read(found.bibtex)
    assert list(entries) == [one.key for one in (*found.references, *found.software)]
    for kind, fields in entries.values():
        whole(kind, fields)
    assert entries["jax"][1]["version"] == jax.__version__
    # saved, it tells the same, with the releases of the time
    told = result().provenance
    told["versions"] |= {"jax": "0.8.1"}
    result().save(tmp_path / "run.nc")
    assert str(ss.citation(ss.read_run(tmp_path / "run.nc"))) == said
    older = ss.SweepResult(swept().assign_attrs(provenance=json.dumps(told)))
    assert "jax 0.8.1: " in str(ss.citation(older))


def test_sweeps_and_their_datasets_are_cited():
    told = {**result().provenance, "made_by": "sweep", "process": {"class": "SGD"}}
    problem = {"problem": {"class": "MullerBrown"}}
    told["problems"] = {"a": problem, "b": {"problem": {}, "data": {"name": "CIFAR-100"}}}
    data = swept().assign_attrs(provenance=json.dumps(told))
    for one in (ss.SweepResult(data), data):
        assert {"robbins1951stochastic", "muller1979location", "krizhevsky2009learning"} <= set(keys(one))
        assert "xarray" in programs(one)
    assert keys(ss.SweepResult(swept())) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MNIST-1D", "greydanus2024scaling"),
        ("MNIST-1D, 25% random labels", "greydanus2024scaling"),
        ("MNIST 0, 1", "lecun1998gradient"),
        ("EMNIST balanced", "cohen2017emnist"),
        ("KMNIST", "clanuwat2018deep"),
        ("Fashion-MNIST", "xiao2017fashion"),
        ("CIFAR-10", "krizhevsky2009learning"),
        ("CIFAR-100", "krizhevsky2009learning"),
        ("augmented digits", "alpaydin1998optical"),
        ("digits of mine", None),
        ("mydigits", None),
        ("CIFAR-1000", None),
        (None, None),
    ],
)
def test_data_sets_are_known_by_their_names(name, expected):
    assert [key for topic in of_data(name) for key in topic.keys] == ([expected] if expected else [])


def test_data_of_a_network_are_cited():
    digits = ss.data.digits(50)
    net = ss.problems.mlp(digits, hidden=(2,))
    assert keys(digits) == keys(net) == ["alpaydin1998optical"]
    assert "alpaydin1998optical" in keys(ss.SGD(net, QUIET))
    told = {"problem": {"predict": {"class": "ResNet"}, "noise": {"class": "CurvatureNoise"}}}
    found = {key for topic in of_provenance(told) for key in topic.keys}
    assert found == {"he2016deep", "wu2018group", "xie2021diffusion"}


X = stats.norm().ppf((np.arange(40) + 0.5) / 40)


def test_tests_and_laws_have_their_papers():
    st = ss.statistics
    law = stats.norm()
    assert keys(st.compare(X, law))[:2] == ["kolmogorov1933sulla", "smirnov1948table"]
    for test, key in (
        (st.kolmogorov_smirnov, "kolmogorov1933sulla"),
        (st.anderson_darling, "anderson1954test"),
        (st.cramer_von_mises, "anderson1962distribution"),
    ):
        assert keys(test(X, law))[0] == key
    gibbs = ss.theory.gibbs(WELL, QUIET)
    assert "exp(−2L/T)" in str(ss.citation(gibbs)) and keys(gibbs) == ["jastrzebski2017three"]
    unknown = ss.theory.Density1D(np.linspace(-1, 1, 201), np.zeros(201), "mine")
    assert keys(unknown) == [] and "no paper is known for it" in str(ss.citation(unknown))
    assert "scipy" in programs(gibbs)


def test_what_the_explorer_draws_has_its_papers():
    key = jax.random.key(0)
    wells = ss.explorer.WellSettings(chains=64, time=1.0, momentum=0.5)
    numbers = ss.explorer.simulate(wells, key=key)
    assert {
        "robbins1951stochastic",
        "polyak1964some",
        "leimkuhler2013rational",
        "jastrzebski2017three",
    } < set(keys(numbers))
    assert "Gibbs law" in str(ss.citation(numbers)) and "diffrax" in programs(numbers)
    still = replace(wells, momentum=0.0)
    assert "polyak1964some" not in keys(ss.explorer.simulate(still, key=key))
    found = ss.citation(ss.explorer.simulate(ss.explorer.DigitsSettings(chains=64, momentum=0.0), key=key))
    assert [one.key for one in found.references][:3] == [
        "robbins1951stochastic",
        "jastrzebski2017three",
        "smith2018bayesian",
    ]
    assert {"liu2021noise", "alpaydin1998optical"} < {one.key for one in found.references}
    assert "diffrax" not in [one.key for one in found.software]


def test_a_notebook_shows_it():
    shown = texts(ss.citation(result()))
    assert "Langevin SDE" in shown and "Leimkuhler" in shown and f"jax {jax.__version__}" in shown


def test_what_is_not_ours_is_refused():
    with refused(r"result must be a Result, SweepResult, .*got 3;"):
        ss.citation(3)
    with refused("result must be"):
        ss.citation(swept())
