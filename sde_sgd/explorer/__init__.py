"""SGD beside its SDE, redrawn at once when a setting is moved: in a notebook, in a browser, or by hand."""

from sde_sgd._platform import _names
from sde_sgd.explorer._digits import DigitsNumbers as DigitsNumbers
from sde_sgd.explorer._digits import Direction as Direction
from sde_sgd.explorer._distances import Distance as Distance
from sde_sgd.explorer._page import html as html
from sde_sgd.explorer._picture import picture as picture
from sde_sgd.explorer._settings import DigitsSettings as DigitsSettings
from sde_sgd.explorer._settings import WellSettings as WellSettings
from sde_sgd.explorer._simulate import simulate as simulate
from sde_sgd.explorer._start import start as start
from sde_sgd.explorer._wells import WellNumbers as WellNumbers
from sde_sgd.explorer._widgets import widgets as widgets

__dir__ = _names.public(globals())
