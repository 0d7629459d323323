"""The short form of `torture.data_files`."""

import pytest
from torture import data_files


@pytest.mark.script
def test_damaged_files_are_refused_or_read_as_what_they_say():
    for row in data_files.rows(0.03, 1):
        assert row.held == row.tried > 0, (row.what, row.failures[:5])
