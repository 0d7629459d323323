"""Did it come out? Estimates with standard errors, tests with a null and a level."""

from sde_sgd.statistics._compare import Comparison as Comparison
from sde_sgd.statistics._compare import compare as compare
