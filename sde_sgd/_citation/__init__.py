"""The equations, papers and software behind a result."""

from sde_sgd._citation._citation import Citation as Citation
from sde_sgd._citation._citation import citation as citation
