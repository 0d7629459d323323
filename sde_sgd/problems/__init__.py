"""What is minimised, and how its gradient fluctuates."""

from sde_sgd._platform import _names
from sde_sgd.problems._analytic import AnalyticProblem as AnalyticProblem
from sde_sgd.problems._base import NotKnownError as NotKnownError
from sde_sgd.problems._base import Problem as Problem
from sde_sgd.problems._base import Sampler as Sampler
from sde_sgd.problems._curvature_noise import CurvatureNoise as CurvatureNoise
from sde_sgd.problems._curvature_noise import with_curvature_noise as with_curvature_noise
from sde_sgd.problems._empirical_risk import EmpiricalRisk as EmpiricalRisk
from sde_sgd.problems._finite_sum import FiniteSumProblem as FiniteSumProblem
from sde_sgd.problems._from_equinox import from_equinox as from_equinox
from sde_sgd.problems._from_flax import from_flax as from_flax
from sde_sgd.problems._from_loss import from_loss as from_loss
from sde_sgd.problems._models import linear_regression as linear_regression
from sde_sgd.problems._models import logistic_regression as logistic_regression
from sde_sgd.problems._models import mlp as mlp
from sde_sgd.problems._models import softmax_regression as softmax_regression
from sde_sgd.problems._noise import Diagonal as Diagonal
from sde_sgd.problems._noise import Full as Full
from sde_sgd.problems._noise import GradientNoise as GradientNoise
from sde_sgd.problems._noise import Isotropic as Isotropic
from sde_sgd.problems._noise import PositionDependent as PositionDependent
from sde_sgd.problems._resnet import resnet as resnet
from sde_sgd.problems._tilted_noise import TiltedNoiseData as TiltedNoiseData
from sde_sgd.problems._wells import DoubleWell as DoubleWell
from sde_sgd.problems._wells import MatchedParabolas as MatchedParabolas
from sde_sgd.problems._wells import MullerBrown as MullerBrown
from sde_sgd.problems._wells import Quadratic as Quadratic
from sde_sgd.problems._wells import StyblinskiTang as StyblinskiTang
from sde_sgd.problems._wells import TwoMinima as TwoMinima

__dir__ = _names.public(globals())
