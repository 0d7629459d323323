"""How fast chains leave a well: rates by counting, first exits, and rare events by splitting."""

from sde_sgd._platform import _names
from sde_sgd.escape._by_renewal import by_renewal as by_renewal
from sde_sgd.escape._first_exit import FirstExits as FirstExits
from sde_sgd.escape._first_exit import by_first_exit as by_first_exit
from sde_sgd.escape._rate import EscapeRate as EscapeRate
from sde_sgd.escape._rate import rate as rate
from sde_sgd.escape._renewal import Exits as Exits
from sde_sgd.escape._renewal import Renewal as Renewal

__dir__ = _names.public(globals())
