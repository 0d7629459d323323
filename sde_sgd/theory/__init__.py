"""What should have come out: stationary laws with their constants."""

from sde_sgd.theory._density import Density1D as Density1D
from sde_sgd.theory._density import Density2D as Density2D
from sde_sgd.theory._gibbs import gibbs as gibbs
from sde_sgd.theory._gibbs import temperature as temperature
from sde_sgd.theory._laplace import laplace_probabilities as laplace_probabilities
from sde_sgd.theory._laplace import occupation as occupation
from sde_sgd.theory._laplace import refine_minimum as refine_minimum
