"""What a notebook shows of an object, read as XML, which is stricter than HTML."""

import time
from typing import Any
from xml.etree import ElementTree as ET

from sde_sgd._platform._shown import Shown

MOST = 60_000


def parsed(thing: Any) -> Any:
    """The HTML of an object, or HTML as it is, as a tree."""
    words = thing if isinstance(thing, str) else thing._repr_html_()
    assert len(words) <= MOST
    return ET.fromstring(words)


def texts(thing: Any) -> str:
    """The words that are seen."""
    return " ".join(parsed(thing).itertext())


def shows_itself(thing: Any) -> None:
    """Assert that it is well-formed, small, no mere text, and made in less than 50 ms."""
    if not (isinstance(thing, Shown) or hasattr(thing, "_fields")):
        return
    assert type(thing).__name__ in texts(thing)
    assert not thing._repr_html_().startswith("<pre>"), "it could not be shown, but for its text"
    assert "object at 0x" not in texts(thing)
    seconds = []
    for _ in range(3):
        before = time.perf_counter()
        thing._repr_html_()
        seconds.append(time.perf_counter() - before)
    assert min(seconds) < 0.05
