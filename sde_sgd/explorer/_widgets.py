"""The explorer inside a notebook: ipywidgets around `html`."""

from typing import Any

import jax
from jaxtyping import Array, Key

from sde_sgd.explorer._controls import TABS, Control, controls
from sde_sgd.explorer._need import need_shell
from sde_sgd.explorer._page import html
from sde_sgd.random import check_key


def widgets(*, key: Key[Array, ""] | None = None) -> Any:
    """The explorer for Jupyter, VS Code or a hosted notebook: make it the last line of a cell.

    Args:
        key: of all runs, `jax.random.key(0)` by default.

    Returns:
        A `Tab` of ipywidgets: wells and digits, each with its controls, picture and numbers. Digits are run
        when their tab is first opened.

    Raises:
        ImportError: without ipywidgets.
    """
    need_shell("ipywidgets", "explorer.widgets")
    import ipywidgets

    key = jax.random.key(0) if key is None else key
    check_key(key)
    pages = [_page(ipywidgets, kind, key) for kind in TABS.values()]
    tabs = ipywidgets.Tab(children=[page for page, _ in pages], titles=list(TABS))
    drawn = {0}
    pages[0][1]()

    def opened(change: Any) -> None:
        if change["new"] not in drawn:
            drawn.add(change["new"])
            pages[change["new"]][1]()

    tabs.observe(opened, names="selected_index")
    return tabs


def _page(ipywidgets: Any, kind: Any, key: Any) -> tuple[Any, Any]:
    """Controls above a picture, and what draws it."""
    shown = ipywidgets.HTML()
    moved = {control.name: _control(ipywidgets, control) for control in controls(kind)}

    def draw(_change: Any = None) -> None:
        shown.value = html(kind(**{name: one.value for name, one in moved.items()}), key=key)

    for one in moved.values():
        one.observe(draw, names="value")
    layout = ipywidgets.Layout(flex_flow="row wrap")
    return ipywidgets.VBox([ipywidgets.Box(list(moved.values()), layout=layout), shown]), draw


def _control(ipywidgets: Any, control: Control) -> Any:
    options: dict[str, Any] = {
        "description": control.label,
        "options": list(control.options),
        "value": control.value,
        "style": {"description_width": "110px"},
        "layout": ipywidgets.Layout(width="320px"),
    }
    return ipywidgets.SelectionSlider(**options) if control.is_slider else ipywidgets.Dropdown(**options)
