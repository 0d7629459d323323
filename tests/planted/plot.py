"""Faults in the pictures."""

from planted._fault import Fault

_CURVES = "sde_sgd/plot/_curves.py"
_HISTOGRAMS = "sde_sgd/plot/_histograms.py"
_HEAT = "sde_sgd/plot/_heat_map.py"
_VALIDITY = "sde_sgd/plot/_validity.py"

FAULTS = [
    Fault(
        "a band of deviations where errors were asked for",
        _CURVES,
        'width = line.deviation if band == "deviation" else',
        'width = line.deviation if band == "error" else',
        "plot/test_plot_numbers.py::test_bands_are_of_the_chains_that_did_not_diverge",
    ),
    Fault(
        "diverged chains are drawn",
        _CURVES,
        "return values[:, result.alive]",
        "return values[:, result.alive | True]",
        "plot/test_plot_numbers.py::test_bands_are_of_the_chains_that_did_not_diverge",
    ),
    Fault(
        "bars of counts for bars of density",
        _HISTOGRAMS,
        "density = counts / (len(samples[name]) * np.diff(edges))",
        "density = counts / len(samples[name])",
        "plot/test_plot_numbers.py::test_bars_hold_all_of_the_probability_and_lines_reach_into_the_tails",
    ),
    Fault(
        "a density is drawn where it is small only",
        _HISTOGRAMS,
        "return x[p > 1e-4 * p.max()], p[p > 1e-4 * p.max()]",
        "return x[p < 0.5 * p.max()], p[p < 0.5 * p.max()]",
        "plot/test_plot_numbers.py::test_bars_hold_all_of_the_probability_and_lines_reach_into_the_tails",
    ),
    Fault(
        "cells are not around their centres",
        _HEAT,
        "inner = (logs[:-1] + logs[1:]) / 2",
        "inner = logs[:-1]",
        "plot/test_plot_numbers.py::test_cells_lie_around_their_centres",
    ),
    Fault(
        "squares around the settings that hold",
        _VALIDITY,
        "        elif broken:\n",
        "        elif not broken:\n",
        "validity/test_phase_diagram.py::test_what_the_picture_marks",
    ),
]
