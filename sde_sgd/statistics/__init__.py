"""Did it come out? Estimates with standard errors, tests with a null and a level."""

from sde_sgd._platform import _names
from sde_sgd.statistics._anderson_darling import anderson_darling as anderson_darling
from sde_sgd.statistics._compare import Comparison as Comparison
from sde_sgd.statistics._compare import compare as compare
from sde_sgd.statistics._cramer_von_mises import cramer_von_mises as cramer_von_mises
from sde_sgd.statistics._curves import CurveTest as CurveTest
from sde_sgd.statistics._curves import curve_test as curve_test
from sde_sgd.statistics._energy import energy as energy
from sde_sgd.statistics._equivalence import EquivalenceTest as EquivalenceTest
from sde_sgd.statistics._equivalence import equivalence as equivalence
from sde_sgd.statistics._holm import Family as Family
from sde_sgd.statistics._holm import holm as holm
from sde_sgd.statistics._hypothesis_test import HypothesisTest as HypothesisTest
from sde_sgd.statistics._kolmogorov_smirnov import kolmogorov_smirnov as kolmogorov_smirnov
from sde_sgd.statistics._slopes import SlopeTest as SlopeTest
from sde_sgd.statistics._slopes import slope as slope
from sde_sgd.statistics._tail_index import TailIndex as TailIndex
from sde_sgd.statistics._tail_index import tail_index as tail_index
from sde_sgd.statistics._temperature import TemperatureTest as TemperatureTest
from sde_sgd.statistics._temperature import temperature_test as temperature_test
from sde_sgd.statistics._time_average import TimeAverage as TimeAverage
from sde_sgd.statistics._time_average import effective_sample_size as effective_sample_size
from sde_sgd.statistics._time_average import mcse as mcse
from sde_sgd.statistics._time_average import split_r_hat as split_r_hat
from sde_sgd.statistics._time_average import time_average as time_average
from sde_sgd.statistics._wasserstein import wasserstein as wasserstein

__dir__ = _names.public(globals())
