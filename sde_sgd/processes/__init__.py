"""The laws of motion: SGD and the SDEs that stand for it."""

from sde_sgd.processes._base import ChainState as ChainState
from sde_sgd.processes._base import Process as Process
from sde_sgd.processes._langevin import Langevin as Langevin
from sde_sgd.processes._sgd import SGD as SGD
