"""The explorer in a real browser: opened, moved, looked at in two widths."""

import importlib.util

import explorer_moves
import pytest
from browser import CHROMIUM, MISSING

pytestmark = pytest.mark.script


def test_it_is_moved_in_chromium(tmp_path):
    if CHROMIUM is None:
        pytest.skip(MISSING)
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("there is no playwright in this environment: pip install playwright")
    seen = explorer_moves.look(50, tmp_path)
    assert seen.errors == []
    assert {tab: len(waits) for tab, waits in seen.waits.items()} == {"wells": 40, "digits": 10}
    # on a machine of its own a tenth of this; what compiles takes a second or more, each time
    assert all(sorted(waits)[len(waits) // 2] < 3000 for waits in seen.waits.values()), seen.waits
    assert set(seen.beyond) == {(tab, width) for tab in ("wells", "digits") for width in (390, 1200)}
    assert set(seen.beyond.values()) == {0}
    for name in ("wells_390.png", "wells_1200.png", "digits_390.png", "digits_1200.png", "explorer.png"):
        assert (tmp_path / name).stat().st_size > 20_000
