"""The curvature of a loss and the covariance of its gradients, without forming a matrix."""

from sde_sgd._platform import _names
from sde_sgd.curvature._blocks import Block as Block
from sde_sgd.curvature._blocks import layer_blocks as layer_blocks
from sde_sgd.curvature._covariance import Alignment as Alignment
from sde_sgd.curvature._covariance import alignment as alignment
from sde_sgd.curvature._covariance import covariance_spectrum as covariance_spectrum
from sde_sgd.curvature._eigenpairs import Eigenpairs as Eigenpairs
from sde_sgd.curvature._eigenpairs import condition_number as condition_number
from sde_sgd.curvature._eigenpairs import spectral_norm as spectral_norm
from sde_sgd.curvature._eigenpairs import top_eigenpairs as top_eigenpairs
from sde_sgd.curvature._estimates import Estimate as Estimate
from sde_sgd.curvature._estimates import frobenius_norm as frobenius_norm
from sde_sgd.curvature._estimates import trace as trace
from sde_sgd.curvature._nudged import Nudged as Nudged
from sde_sgd.curvature._nudged import nudged as nudged
from sde_sgd.curvature._observables import Observable as Observable
from sde_sgd.curvature._observables import Sharpness as Sharpness
from sde_sgd.curvature._operators import covariance_product as covariance_product
from sde_sgd.curvature._operators import gauss_newton_product as gauss_newton_product
from sde_sgd.curvature._operators import hvp as hvp
from sde_sgd.curvature._quadrature import SpectralDensity as SpectralDensity
from sde_sgd.curvature._quadrature import log_determinant as log_determinant
from sde_sgd.curvature._quadrature import spectral_density as spectral_density
from sde_sgd.curvature._saturation import Saturation as Saturation
from sde_sgd.curvature._saturation import saturation as saturation
from sde_sgd.curvature._slices import Line as Line
from sde_sgd.curvature._slices import Plane as Plane
from sde_sgd.curvature._slices import interpolation as interpolation
from sde_sgd.curvature._slices import plane as plane
from sde_sgd.curvature._slices import random_direction as random_direction
from sde_sgd.curvature._steps import Change as Change
from sde_sgd.curvature._steps import StepEffect as StepEffect
from sde_sgd.curvature._steps import cosines as cosines
from sde_sgd.curvature._steps import step_effect as step_effect
from sde_sgd.curvature._steps import subspace_overlap as subspace_overlap

__dir__ = _names.public(globals())
