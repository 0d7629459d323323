"""What should have come out: stationary laws with their constants, and times of escape."""

from sde_sgd._platform import _names
from sde_sgd.theory._chain._law import chain_law as chain_law
from sde_sgd.theory._density import Density1D as Density1D
from sde_sgd.theory._density import Density2D as Density2D
from sde_sgd.theory._escape._chain_time import chain_passage_time as chain_passage_time
from sde_sgd.theory._escape._diffusion_theory import DiffusionTheory as DiffusionTheory
from sde_sgd.theory._escape._diffusion_theory import diffusion_theory as diffusion_theory
from sde_sgd.theory._escape._kramers import KramersTime as KramersTime
from sde_sgd.theory._escape._kramers import kramers as kramers
from sde_sgd.theory._escape._mean_time import PassageTime as PassageTime
from sde_sgd.theory._escape._mean_time import mean_passage_time as mean_passage_time
from sde_sgd.theory._escape._passage_law import PassageLaw as PassageLaw
from sde_sgd.theory._escape._passage_law import passage_law as passage_law
from sde_sgd.theory._escape._power_law import PowerLawEscape as PowerLawEscape
from sde_sgd.theory._escape._power_law import power_law_escape as power_law_escape
from sde_sgd.theory._escape._quasi_potential import QuasiPotential as QuasiPotential
from sde_sgd.theory._escape._quasi_potential import quasi_potential as quasi_potential
from sde_sgd.theory._escape._saddle import StationaryPoint as StationaryPoint
from sde_sgd.theory._escape._saddle import find_saddle as find_saddle
from sde_sgd.theory._fokker_planck._solution import FokkerPlanck as FokkerPlanck
from sde_sgd.theory._fokker_planck._solution import fokker_planck as fokker_planck
from sde_sgd.theory._fokker_planck._solution import relaxation_time as relaxation_time
from sde_sgd.theory._gibbs import gibbs as gibbs
from sde_sgd.theory._gibbs import temperature as temperature
from sde_sgd.theory._ito import ito_density as ito_density
from sde_sgd.theory._laplace import laplace_probabilities as laplace_probabilities
from sde_sgd.theory._laplace import occupation as occupation
from sde_sgd.theory._laplace import refine_minimum as refine_minimum
from sde_sgd.theory._linear._covariance import discrete_covariance as discrete_covariance
from sde_sgd.theory._linear._covariance import lyapunov_covariance as lyapunov_covariance
from sde_sgd.theory._linear._covariance import stationary_covariance as stationary_covariance
from sde_sgd.theory._linear._effective import EffectiveTemperature as EffectiveTemperature
from sde_sgd.theory._linear._effective import effective_temperature as effective_temperature
from sde_sgd.theory._linear._effective import virial as virial
from sde_sgd.theory._linear._effective import virial_with_momentum as virial_with_momentum
from sde_sgd.theory._linear._matrix_free import KrylovVariance as KrylovVariance
from sde_sgd.theory._linear._matrix_free import directional_variance as directional_variance
from sde_sgd.theory._linear._matrix_free import krylov_variance as krylov_variance
from sde_sgd.theory._linear._matrix_free import products as products
from sde_sgd.theory._linear._regression import RegressionLaw as RegressionLaw
from sde_sgd.theory._linear._regression import regression_covariance as regression_covariance
from sde_sgd.theory._linear._student import online_regression_law as online_regression_law
from sde_sgd.theory._linear._student import online_regression_variance as online_regression_variance
from sde_sgd.theory._mixture import GaussianMixture as GaussianMixture
from sde_sgd.theory._mixture import laplace_gibbs as laplace_gibbs
from sde_sgd.theory._modified import modified_gibbs as modified_gibbs
from sde_sgd.theory._pushforward import Pushforward as Pushforward
from sde_sgd.theory._pushforward import pushforward as pushforward
from sde_sgd.theory._skewness import skew_log_odds as skew_log_odds

__dir__ = _names.public(globals())
