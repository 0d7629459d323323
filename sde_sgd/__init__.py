"""SGD beside its stochastic differential equation, in JAX."""

import importlib as _importlib
import typing as _typing
from types import ModuleType as _ModuleType

from sde_sgd import bayes as bayes
from sde_sgd import curvature as curvature
from sde_sgd import data as data
from sde_sgd import escape as escape
from sde_sgd import hyperparameters as hyperparameters
from sde_sgd import problems as problems
from sde_sgd import random as random
from sde_sgd import schedules as schedules
from sde_sgd import simulation as simulation
from sde_sgd import statistics as statistics
from sde_sgd import theory as theory
from sde_sgd import validity as validity
from sde_sgd._citation import Citation as Citation
from sde_sgd._citation import citation as citation
from sde_sgd._platform import _names
from sde_sgd._platform._cache import compilation_cache as compilation_cache
from sde_sgd._platform._chain_kernel import chain_kernel as chain_kernel
from sde_sgd._platform._cpu import CPUUse as CPUUse
from sde_sgd._platform._cpu import use_cpu as use_cpu
from sde_sgd._platform._devices import device_name as device_name
from sde_sgd._platform.checkpoints._checkpoint import Checkpoint as Checkpoint
from sde_sgd._platform.checkpoints._checkpoint import CheckpointError as CheckpointError
from sde_sgd._platform.files._files import FileError as FileError
from sde_sgd._platform.reading._origin import version as _version
from sde_sgd._platform.reading._traces import clear_cache as clear_cache
from sde_sgd.hyperparameters import Hyperparameters as Hyperparameters
from sde_sgd.processes import SGD as SGD
from sde_sgd.processes import SGLD as SGLD
from sde_sgd.processes import SVAG as SVAG
from sde_sgd.processes import CentralFlow as CentralFlow
from sde_sgd.processes import ChainState as ChainState
from sde_sgd.processes import Diffusion as Diffusion
from sde_sgd.processes import Langevin as Langevin
from sde_sgd.processes import LeimkuhlerMatthews as LeimkuhlerMatthews
from sde_sgd.processes import Process as Process
from sde_sgd.processes import SecondOrderLangevin as SecondOrderLangevin
from sde_sgd.processes import UnderdampedLangevin as UnderdampedLangevin
from sde_sgd.processes import WhiteNoiseGD as WhiteNoiseGD
from sde_sgd.simulation import Histogram as Histogram
from sde_sgd.simulation import HistogramCounts as HistogramCounts
from sde_sgd.simulation import MemoryPrediction as MemoryPrediction
from sde_sgd.simulation import Moments as Moments
from sde_sgd.simulation import Result as Result
from sde_sgd.simulation import SweepPart as SweepPart
from sde_sgd.simulation import SweepResult as SweepResult
from sde_sgd.simulation import merge_sweeps as merge_sweeps
from sde_sgd.simulation import predict_memory as predict_memory
from sde_sgd.simulation import read_run as read_run
from sde_sgd.simulation import read_sweep as read_sweep
from sde_sgd.simulation import run as run
from sde_sgd.simulation import sweep as sweep

if _typing.TYPE_CHECKING:
    from sde_sgd import explorer as explorer
    from sde_sgd import plot as plot

# "not installed" where it is imported from a folder
__version__ = str(_version("sde_sgd"))


_LATE = ("explorer", "plot")


def __getattr__(name: str) -> _ModuleType:
    """Load `sde_sgd.plot` or `sde_sgd.explorer` when first asked for: what computes needs no matplotlib."""
    if name in _LATE:
        return _importlib.import_module(f"sde_sgd.{name}")
    raise AttributeError(f"module 'sde_sgd' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is public, with what is loaded late."""
    return sorted({*_names.public(globals())(), *_LATE})
