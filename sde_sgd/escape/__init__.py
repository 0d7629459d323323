"""How fast chains leave a well: rates by counting, first exits, and rare events by splitting."""

from sde_sgd._platform import _names
from sde_sgd.escape._by_renewal import by_renewal as by_renewal
from sde_sgd.escape._first_exit import FirstExits as FirstExits
from sde_sgd.escape._first_exit import by_first_exit as by_first_exit
from sde_sgd.escape._rate import EscapeRate as EscapeRate
from sde_sgd.escape._rate import rate as rate
from sde_sgd.escape._rates import Well as Well
from sde_sgd.escape._rates import rates as rates
from sde_sgd.escape._renewal import Renewal as Renewal
from sde_sgd.escape._splitting import SplittingRate as SplittingRate
from sde_sgd.escape._splitting import by_splitting as by_splitting

__dir__ = _names.public(globals())
