"""What the tests themselves rest on."""

import pytest
from helpers import bound


def test_bound_is_the_normal_quantile():
    """The shared bound: 4.89 standard errors for one number, 5.73 for a hundred."""
    assert bound() == pytest.approx(4.8916, abs=1e-4)
    assert bound(100) == pytest.approx(5.7307, abs=1e-3)
