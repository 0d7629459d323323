"""Pictures of runs and laws. Nothing that computes imports this."""

from sde_sgd.plot._curves import curve as curve
from sde_sgd.plot._curves import curves as curves
from sde_sgd.plot._histograms import histograms as histograms
from sde_sgd.plot._landscape import landscape as landscape
from sde_sgd.plot._style import figure as figure
from sde_sgd.plot._style import save as save
