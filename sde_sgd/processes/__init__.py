"""The laws of motion: SGD and the SDEs that stand for it."""

from sde_sgd._platform import _names
from sde_sgd.processes._base import ChainState as ChainState
from sde_sgd.processes._base import Process as Process
from sde_sgd.processes._central_flow import CentralFlow as CentralFlow
from sde_sgd.processes._diffusion import Diffusion as Diffusion
from sde_sgd.processes._langevin import Langevin as Langevin
from sde_sgd.processes._leimkuhler_matthews import LeimkuhlerMatthews as LeimkuhlerMatthews
from sde_sgd.processes._second_order import SecondOrderLangevin as SecondOrderLangevin
from sde_sgd.processes._sgd import SGD as SGD
from sde_sgd.processes._svag import SVAG as SVAG
from sde_sgd.processes._underdamped import UnderdampedLangevin as UnderdampedLangevin
from sde_sgd.processes._white_noise import SGLD as SGLD
from sde_sgd.processes._white_noise import WhiteNoiseGD as WhiteNoiseGD

__dir__ = _names.public(globals())
