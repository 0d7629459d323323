"""The posterior around a minimum: how many parameters its loss has in effect."""

from sde_sgd._platform import _names
from sde_sgd.bayes._estimate import LearningCoefficient as LearningCoefficient
from sde_sgd.bayes._learning_coefficient import local_learning_coefficient as local_learning_coefficient
from sde_sgd.bayes._temper import gaussian_learning_coefficient as gaussian_learning_coefficient

__dir__ = _names.public(globals())
