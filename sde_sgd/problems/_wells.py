"""Toy losses with known minima and exact stationary laws."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from sde_sgd import _checks
from sde_sgd._types import NoiseLaw, Numbers, Scalar
from sde_sgd.problems._analytic import AnalyticProblem, check_law
from sde_sgd.problems._noise import GradientNoise, Isotropic


def _scalar(name: str, value: Any, **bounds: Any) -> Array:
    """`value` as one number inside the bounds, or refuse it."""
    kept = _checks.array(name, value, **bounds)
    if np.ndim(value):
        raise ValueError(f"{name} must be one number, got an array of shape {np.shape(value)}.")
    return kept


class _Well(AnalyticProblem):
    """A loss of its own with noise that is given as σ², or as any other covariance.

    Subclasses have the fields `noise` and `noise_law` after their own.
    """

    def __init__(self, noise_variance: Scalar, noise: GradientNoise | None, noise_law: str):
        if not isinstance(noise, GradientNoise | None):
            raise ValueError(
                f"noise must be Isotropic, Diagonal, Full or PositionDependent, got {noise!r}; "
                f"a number belongs in noise_variance."
            )
        self.noise = Isotropic(noise_variance) if noise is None else noise
        self.noise_law = check_law(noise_law)


class Quadratic(_Well):
    r"""L(θ) = ½ θᵀHθ.

    The one problem where everything is exact: SGD at finite η has the stationary covariance
    HΣ + ΣH − ηHΣH = (η/B) C, its SDE the same without the third term.

    Args:
        hessian: H, a number h > 0 (θ is then a scalar) or a symmetric positive semi-definite
            matrix, shape `(d, d)`.
        noise_variance: σ² of isotropic noise.
        noise: any other covariance, in place of `noise_variance`.
        noise_law: "gaussian", "rademacher" or "exponential", of one example.
    """

    matrix: Float[Array, "..."]
    noise: GradientNoise
    noise_law: str = eqx.field(static=True)

    def __init__(
        self,
        hessian: Numbers = 1.0,
        *,
        noise_variance: Scalar = 1.0,
        noise: GradientNoise | None = None,
        noise_law: NoiseLaw = "gaussian",
    ):
        if not _checks.shape(hessian):
            self.matrix = _scalar("hessian", hessian, above=0)
        else:
            self.matrix = jnp.asarray(_checks.square_matrix("hessian", hessian), dtype=float)
        super().__init__(noise_variance, noise, noise_law)

    def init(self, key: Key[Array, ""]) -> Float[Array, "*d"]:
        return jax.random.normal(key, self.matrix.shape[:1], self.matrix.dtype)

    def loss(self, theta: Float[Array, "*d"]) -> Float[Array, ""]:
        return 0.5 * jnp.vdot(theta, self.matrix @ theta if self.matrix.ndim else self.matrix * theta)

    def minima(self) -> tuple[Float[Array, "*d"], ...]:
        return (jnp.zeros(self.matrix.shape[:1], self.matrix.dtype),)


class DoubleWell(_Well):
    r"""L(x) = (x² − 1)²/4 + tilt · x.

    Without a tilt: minima of curvature 2 at x = ±1, a barrier of height ¼ and curvature −1 at 0.
    The tilt makes one well deeper. SGD itself leaves the wells for good where |x| exceeds about
    √(1 + 2/η): a step then overshoots.

    Args:
        tilt: a number; |tilt| < 2/(3√3) ≈ .385 keeps both wells.
        noise_variance, noise, noise_law: the gradient noise, as for `Quadratic`.
    """

    tilt: Float[Array, ""]
    noise: GradientNoise
    noise_law: str = eqx.field(static=True)

    def __init__(
        self,
        *,
        tilt: Scalar = 0.0,
        noise_variance: Scalar = 1.0,
        noise: GradientNoise | None = None,
        noise_law: NoiseLaw = "gaussian",
    ):
        self.tilt = _scalar("tilt", tilt)
        super().__init__(noise_variance, noise, noise_law)

    def init(self, key: Key[Array, ""]) -> Float[Array, ""]:
        return jax.random.uniform(key, (), self.tilt.dtype, minval=-1.5, maxval=1.5)

    def loss(self, theta: Float[Array, ""]) -> Float[Array, ""]:
        excess = theta * theta - 1.0
        return 0.25 * excess * excess + self.tilt * theta

    def gradient(self, theta: Float[Array, ""]) -> Float[Array, ""]:
        # fewer operations than the derivative of `loss`, and this one line sets the speed of the toy
        return theta * (theta * theta - 1.0) + self.tilt

    def minima(self) -> tuple[Float[Array, ""], ...]:
        roots = np.roots([1.0, 0.0, -1.0, float(self.tilt)])
        real = np.sort(roots[np.abs(roots.imag) < 1e-9].real)
        stable = [root for root in real if 3 * root**2 > 1]
        return tuple(jnp.asarray(root, dtype=float) for root in stable)


class TwoMinima(_Well):
    r"""Two smooth wells of chosen depth and width in d dimensions.

        L(θ) = −w ln[ e^{−q₀(θ)/w} + e^{−q₁(θ)/w} ],   q_k = L_k + ½ Σ_i h_{k,i} (θ_i − c_{k,i})²

    The wells sit at ∓a on the first axis. Away from the ridge between them L equals the lower of
    the two parabolas up to w·e^{−Δq/w}. With h₀ > h₁ and L₀ < L₁ this is the deep-narrow against
    shallow-wide contest of Jastrzębski et al. 2017.

    Args:
        curvatures: h₀ and h₁, each a number > 0 or one for each of the d coordinates.
        depths: L₀ and L₁.
        dimension: d ≥ 1. With d = 1, θ is a scalar.
        half_distance: a > 0; the ridge rises with a².
        smoothing: w > 0, in units of the loss; the ridge is rounded over this height.
        noise_variance, noise, noise_law: the gradient noise, as for `Quadratic`.
    """

    curvatures: Float[Array, "2 d"]
    depths: Float[Array, "2"]
    centres: Float[Array, "2 d"]
    smoothing: Float[Array, ""]
    scalar: bool = eqx.field(static=True)
    noise: GradientNoise
    noise_law: str = eqx.field(static=True)

    def __init__(
        self,
        *,
        curvatures: Sequence[Numbers] | np.ndarray | Array = (6.0, 1.0),
        depths: Sequence[float] | np.ndarray | Array = (0.0, 0.1),
        dimension: int = 1,
        half_distance: Scalar = 0.45,
        smoothing: Scalar = 0.02,
        noise_variance: Scalar = 1.0,
        noise: GradientNoise | None = None,
        noise_law: NoiseLaw = "gaussian",
    ):
        size = _checks.integer("dimension", dimension, at_least=1)
        half_distance = _scalar("half_distance", half_distance, above=0)
        self.smoothing = _scalar("smoothing", smoothing, above=0)
        for name, pair in (("curvatures", curvatures), ("depths", depths)):
            if np.isscalar(pair) or getattr(pair, "ndim", 1) == 0 or len(pair) != 2:
                raise ValueError(f"{name} must hold two wells, got {pair!r}.")
        rows = []
        for curvature in curvatures:
            _checks.number("curvatures", curvature, above=0, kept=True)
            if _checks.shape(curvature) not in ((), (size,)):
                raise ValueError(
                    f"curvatures must be numbers or have one entry for each of the {size} "
                    f"dimensions, got shape {_checks.shape(curvature)}."
                )
            rows.append(np.broadcast_to(np.asarray(curvature, dtype=float), (size,)))
        self.curvatures = jnp.asarray(np.stack(rows), dtype=float)
        self.depths = _checks.array("depths", depths)
        centre = np.zeros(size)
        centre[0] = float(half_distance)
        self.centres = jnp.asarray(np.stack([-centre, centre]), dtype=float)
        self.scalar = size == 1
        super().__init__(noise_variance, noise, noise_law)

    def init(self, key: Key[Array, ""]) -> Float[Array, "*d"]:
        along = jax.random.uniform(key, (), self.depths.dtype, minval=-1.0, maxval=1.0)
        return along if self.scalar else along * self.centres[1]

    def loss(self, theta: Float[Array, "*d"]) -> Float[Array, ""]:
        first, second = self._parabola(0, theta), self._parabola(1, theta)
        gap = jnp.abs(first - second) / self.smoothing
        return jnp.minimum(first, second) - self.smoothing * jnp.log1p(jnp.exp(-gap))

    def well(self, theta: Float[Array, "*d"]) -> Int[Array, ""]:
        """Which well θ belongs to: 0 or 1, the lower of the two parabolas there."""
        return (self._parabola(1, theta) < self._parabola(0, theta)).astype(jnp.int32)

    def _parabola(self, number: int, theta: Float[Array, "*d"]) -> Float[Array, ""]:
        curvature, centre = self.curvatures[number], self.centres[number]
        if self.scalar:
            return self.depths[number] + 0.5 * curvature[0] * (theta - centre[0]) ** 2
        return self.depths[number] + 0.5 * jnp.sum(curvature * (theta - centre) ** 2)

    def minima(self) -> tuple[Float[Array, "*d"], ...]:
        """The two centres; the exact minima differ by terms of order e^{−Δq/w}."""
        return tuple(centre[0] if self.scalar else centre for centre in self.centres)


class MatchedParabolas(_Well):
    r"""A well of curvature +H_a joined with matching slope to a barrier of curvature −H_b.

        L(x) = ½ H_a x²                     for |x| up to s·x_b
             = ΔL − ½ H_b (x − x_b)²        from there to the top at x_b

    with s = H_b/(H_a + H_b), ΔL = ½ H_a s x_b², mirrored at x_b into a second well at 2x_b. The
    textbook potential of escape problems (Xie, Sato, Sugiyama 2021, arXiv:2002.03495).

    Args:
        well_curvature: H_a > 0.
        barrier_curvature: H_b > 0 (the curvature at the top is −H_b).
        barrier_height: ΔL > 0.
        noise_variance, noise, noise_law: the gradient noise, as for `Quadratic`.
    """

    well_curvature: Float[Array, ""]
    barrier_curvature: Float[Array, ""]
    barrier_height: Float[Array, ""]
    noise: GradientNoise
    noise_law: str = eqx.field(static=True)

    def __init__(
        self,
        *,
        well_curvature: Scalar = 1.0,
        barrier_curvature: Scalar = 1.0,
        barrier_height: Scalar = 0.25,
        noise_variance: Scalar = 1.0,
        noise: GradientNoise | None = None,
        noise_law: NoiseLaw = "gaussian",
    ):
        self.well_curvature = _scalar("well_curvature", well_curvature, above=0)
        self.barrier_curvature = _scalar("barrier_curvature", barrier_curvature, above=0)
        self.barrier_height = _scalar("barrier_height", barrier_height, above=0)
        super().__init__(noise_variance, noise, noise_law)

    @property
    def switch_fraction(self) -> Float[Array, ""]:
        """s: the part of the way to the top on which the curvature is positive."""
        return self.barrier_curvature / (self.well_curvature + self.barrier_curvature)

    @property
    def barrier_position(self) -> Float[Array, ""]:
        """x_b = √(2ΔL / (H_a s))."""
        return jnp.sqrt(2 * self.barrier_height / (self.well_curvature * self.switch_fraction))

    def init(self, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        return jnp.zeros((), self.well_curvature.dtype)

    def loss(self, theta: Float[Array, ""]) -> Float[Array, ""]:
        top = self.barrier_position
        x = jnp.where(theta > top, 2 * top - theta, theta)
        well = 0.5 * self.well_curvature * x * x
        barrier = self.barrier_height - 0.5 * self.barrier_curvature * (x - top) ** 2
        return jnp.where(x < self.switch_fraction * top, well, barrier)

    def minima(self) -> tuple[Float[Array, ""], ...]:
        return (jnp.zeros_like(self.barrier_position), 2 * self.barrier_position)


class StyblinskiTang(_Well):
    r"""L(x) = ½ Σ_i (x_i⁴ − 16 x_i² + 5 x_i): 2^d minima with exactly known odds.

    The coordinates are independent, so the stationary law is the d-fold product of a tilted
    double well with minima near −2.904 and 2.747.

    Args:
        dimension: d ≥ 1.
        noise_variance, noise, noise_law: the gradient noise, as for `Quadratic`.
    """

    dimension: int = eqx.field(static=True)
    noise: GradientNoise
    noise_law: str = eqx.field(static=True)

    def __init__(
        self,
        dimension: int = 2,
        *,
        noise_variance: Scalar = 1.0,
        noise: GradientNoise | None = None,
        noise_law: NoiseLaw = "gaussian",
    ):
        self.dimension = _checks.integer("dimension", dimension, at_least=1)
        super().__init__(noise_variance, noise, noise_law)

    def init(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        return jax.random.uniform(key, (self.dimension,), float, minval=-3.0, maxval=3.0)

    def loss(self, theta: Float[Array, " d"]) -> Float[Array, ""]:
        square = theta * theta
        return 0.5 * jnp.sum(square * square - 16.0 * square + 5.0 * theta)

    def minima(self) -> tuple[Float[Array, " d"], ...]:
        """The global minimum, x_i = −2.903534…"""
        return (jnp.full((self.dimension,), -2.9035340277711776),)


_MULLER_BROWN = (
    # height, a, b, c, x₀, y₀
    (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
    (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
    (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
    (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
)


class MullerBrown(_Well):
    r"""The Müller-Brown surface: three minima and two saddles in the plane.

        L(x, y) = scale · Σ_k A_k exp[a_k(x−x_k)² + b_k(x−x_k)(y−y_k) + c_k(y−y_k)²]

    Args:
        scale: factor > 0. The published surface (scale 1) spans some 150 units with curvatures in
            the thousands; .01 brings η near .01 within the stable range.
        noise_variance, noise, noise_law: the gradient noise, as for `Quadratic`.

    Source: Müller & Brown 1979, Theor. Chim. Acta 53, 75.
    """

    scale: Float[Array, ""]
    noise: GradientNoise
    noise_law: str = eqx.field(static=True)

    def __init__(
        self,
        *,
        scale: Scalar = 0.01,
        noise_variance: Scalar = 1.0,
        noise: GradientNoise | None = None,
        noise_law: NoiseLaw = "gaussian",
    ):
        self.scale = _scalar("scale", scale, above=0)
        super().__init__(noise_variance, noise, noise_law)

    def init(self, key: Key[Array, ""]) -> Float[Array, "2"]:
        low, high = jnp.asarray([-1.0, 0.0]), jnp.asarray([0.8, 1.5])
        return jax.random.uniform(key, (2,), self.scale.dtype, minval=low, maxval=high)

    def loss(self, theta: Float[Array, "2"]) -> Float[Array, ""]:
        terms = []
        for height, a, b, c, x0, y0 in _MULLER_BROWN:
            dx, dy = theta[0] - x0, theta[1] - y0
            terms.append(height * jnp.exp(a * dx * dx + b * dx * dy + c * dy * dy))
        return self.scale * sum(terms[1:], terms[0])

    def minima(self) -> tuple[Float[Array, "2"], ...]:
        """From deepest to shallowest, to six digits."""
        points = ((-0.558224, 1.441726), (0.623499, 0.028038), (-0.050011, 0.466694))
        return tuple(jnp.asarray(point, dtype=float) for point in points)
