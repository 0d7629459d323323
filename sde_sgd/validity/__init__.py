"""Does the SDE hold for a run of SGD, and if not, why?"""

from sde_sgd._platform import _names
from sde_sgd.validity._causes import LIMITS as LIMITS
from sde_sgd.validity._causes import Cause as Cause
from sde_sgd.validity._diagnose import diagnose as diagnose
from sde_sgd.validity._diagnosis import Diagnosis as Diagnosis
from sde_sgd.validity._largest_batch import LargestBatch as LargestBatch
from sde_sgd.validity._largest_batch import largest_batch as largest_batch
from sde_sgd.validity._phase_diagram import PhaseDiagram as PhaseDiagram
from sde_sgd.validity._phase_diagram import phase_diagram as phase_diagram
from sde_sgd.validity._weak_error import WeakError as WeakError
from sde_sgd.validity._weak_error import weak_error as weak_error

__dir__ = _names.public(globals())
