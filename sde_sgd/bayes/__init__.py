"""The posterior around a minimum: its evidence, and how many parameters its loss has in effect."""

from sde_sgd._platform import _names
from sde_sgd.bayes._estimate import LearningCoefficient as LearningCoefficient
from sde_sgd.bayes._evidence import log_evidence as log_evidence
from sde_sgd.bayes._evidence import map_fit as map_fit
from sde_sgd.bayes._learning_coefficient import local_learning_coefficient as local_learning_coefficient
from sde_sgd.bayes._outcome import Evidence as Evidence
from sde_sgd.bayes._outcome import Fit as Fit
from sde_sgd.bayes._temper import gaussian_learning_coefficient as gaussian_learning_coefficient
from sde_sgd.curvature._noise_scale import NoiseScale as NoiseScale
from sde_sgd.curvature._noise_scale import gradient_noise_scale as gradient_noise_scale

__dir__ = _names.public(globals())
