"""A fit and the evidence there, as they are told."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import PyTree

from sde_sgd._platform._html import BAD, OPEN, Panel
from sde_sgd._platform._shown import Shown, described, shown


@shown
class Fit(NamedTuple):
    """Where L(θ) + Σ λ_j θ_j²/(2N) is smallest.

    Attributes:
        theta: parameters in float64, NumPy's arrays.
        gradient_norm: of that cost per example, at most the tolerance.
        steps: of L-BFGS.
    """

    theta: PyTree
    gradient_norm: float
    steps: int

    def __repr__(self) -> str:
        return described(self)


@dataclass(frozen=True, kw_only=True, repr=False)
class Evidence(Shown):
    r"""ln(evidence/null) and what it is made of. Print it.

    Attributes:
        value: N ln k − Σ ℓ_n − ½ Σ λ_j θ_j² − ½ Σ ln μ_i, in nats. Above 0 it favours the model.
        standard_error: of `value`, from the random vectors; 0 from the whole Hessian.
        quadrature_error: by how much the second half of the products has moved `value`, which is above what
            more of them would still move it wherever the error falls as 1/products or faster; 0 from the
            whole Hessian.
        likelihood: N ln k − Σ ℓ_n, the log likelihood of the fit over that of the null model.
        prior: ½ Σ λ_j θ_j².
        occam: −½ Σ ln μ_i, the log of the Occam factor.
        effective_parameters: Σ (1 − 1/μ_i), how many directions the data determine.
        gradient_norm: of the cost per example at θ.
        gap: ½ N² gᵀΛ⁻¹g, g the gradient per example: where the cost is convex it is at most so many nats
            above its minimum.
        dimension: d, the number of parameters.
        samples: N.
        classes: k.
    """

    value: float
    standard_error: float
    quadrature_error: float
    likelihood: float
    prior: float
    occam: float
    effective_parameters: float
    gradient_norm: float
    gap: float
    dimension: int
    samples: int
    classes: int

    @property
    def _parts(self) -> str:
        return f"likelihood {self.likelihood:+.5g}, prior {-self.prior:+.5g}, Occam factor {self.occam:+.5g}"

    @property
    def _determined(self) -> str:
        return f"{self.effective_parameters:.4g} of {self.dimension} parameters"

    @property
    def _remarks(self) -> tuple[str, ...]:
        told = f"the quadrature may be off by {self.quadrature_error:.2g} nats, which is not in ±"
        return (f"{told}: take more products",) if self.quadrature_error > self.standard_error else ()

    def __str__(self) -> str:
        of = f"(N = {self.samples}, {self.classes} classes)"
        lines = [
            f"log evidence over guessing {self.value:.5g} ± {self.standard_error:.2g} nats {of}",
            f"  {self._parts}",
            f"  {self._determined} are determined by the data",
        ]
        return "\n".join([*lines, *(f"  ! {remark}" for remark in self._remarks)])

    def _panel(self) -> Panel:
        rows = {
            "made of": self._parts,
            "determined by the data": self._determined,
            "samples": f"{self.samples}, {self.classes} classes",
            "gradient norm": f"{self.gradient_norm:.2g}",
            "gap": f"{self.gap:.2g} nats",
        }
        head = f"{self.value:.5g} ± {self.standard_error:.2g} nats over guessing"
        return Panel("Evidence", head, rows, notes=self._remarks, colour=BAD if self._remarks else OPEN)
