"""Many steps of many chains: runs and sweeps, what is kept of them, and the results."""

from sde_sgd._platform import _names
from sde_sgd.simulation._memory import MemoryPrediction as MemoryPrediction
from sde_sgd.simulation._merge_sweeps import merge_sweeps as merge_sweeps
from sde_sgd.simulation._recording import Histogram as Histogram
from sde_sgd.simulation._recording import HistogramCounts as HistogramCounts
from sde_sgd.simulation._recording import Moments as Moments
from sde_sgd.simulation._result import Result as Result
from sde_sgd.simulation._result import read_run as read_run
from sde_sgd.simulation._run import predict_memory as predict_memory
from sde_sgd.simulation._run import run as run
from sde_sgd.simulation._sweep import sweep as sweep
from sde_sgd.simulation._sweep_part import SweepPart as SweepPart
from sde_sgd.simulation._sweep_result import SweepResult as SweepResult
from sde_sgd.simulation._sweep_result import read_sweep as read_sweep

__dir__ = _names.public(globals())
