"""The paper."""

from paper_checks._card import Paper

DIFFUSION_THEORY = Paper(
    name="diffusion-theory",
    title="A Diffusion Theory For Deep Learning Dynamics: Stochastic Gradient Descent Exponentially Favors "
    "Flat Minima",
    source="Xie, Sato, Sugiyama 2021, arXiv:2002.03495",
)
