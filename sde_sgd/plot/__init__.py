"""Pictures of runs and laws. Nothing that computes imports this."""

from sde_sgd._platform import _names
from sde_sgd.plot._corner import corner as corner
from sde_sgd.plot._curves import curve as curve
from sde_sgd.plot._curves import curves as curves
from sde_sgd.plot._heat_map import heat_map as heat_map
from sde_sgd.plot._histograms import histograms as histograms
from sde_sgd.plot._landscape import landscape as landscape
from sde_sgd.plot._slices import loss_lines as loss_lines
from sde_sgd.plot._slices import loss_plane as loss_plane
from sde_sgd.plot._style import figure as figure
from sde_sgd.plot._style import save as save
from sde_sgd.plot._validity import diagnosis as diagnosis
from sde_sgd.plot._validity import phase_diagram as phase_diagram

__dir__ = _names.public(globals())
