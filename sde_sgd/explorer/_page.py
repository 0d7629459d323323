"""Picture and numbers as one piece of HTML, which every shell can show."""

import base64
import threading
from html import escape

import numpy as np
from jaxtyping import Array, Key

from sde_sgd.explorer._digits import DigitsNumbers
from sde_sgd.explorer._distances import Distance
from sde_sgd.explorer._picture import Numbers, picture, svg
from sde_sgd.explorer._settings import Settings
from sde_sgd.explorer._simulate import simulate

_CELL = 'style="padding:2px 10px 2px 0;text-align:left;font-weight:normal;border:0"'
_NUMBER = 'style="padding:2px 0 2px 10px;text-align:right;white-space:nowrap;border:0"'
_SMALL = 'style="margin:8px 0 0;font-size:13px;opacity:0.8"'

_FIGURES = threading.local()


def html(settings: Settings, *, key: Key[Array, ""]) -> str:
    """`picture` and the numbers beside it; why there is none, where the settings are refused.

    Args:
        settings, key: as in `simulate`.

    Returns:
        HTML of a picture that shrinks with the page and a table, which stand side by side where there is
        room.
    """
    kind = type(settings).__name__
    try:
        numbers = simulate(settings, key=key)
    except np.linalg.LinAlgError:  # a ValueError too, but no refusal
        raise
    except ValueError as error:
        return f'<p role="alert"><strong>No picture:</strong> {escape(str(error))}</p>'
    # each thread has figures of its own: an app serves each visitor in one
    made = _FIGURES.__dict__
    made[kind] = picture(numbers, onto=made.get(kind))
    drawn = base64.b64encode(svg(made[kind]).encode()).decode()
    image = (
        f'<img alt="{escape(repr(numbers), quote=True)}" src="data:image/svg+xml;base64,{drawn}" '
        f'style="flex:1 1 340px;min-width:0;max-width:640px;width:100%;height:auto;background:white">'
    )
    side = f'<div style="flex:1 1 300px;min-width:0;max-width:460px;overflow-x:auto">{table(numbers)}</div>'
    return f'<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start">{image}{side}</div>'


def table(numbers: Numbers) -> str:
    """Distances with their standard errors, and what to know of them, as HTML."""
    if isinstance(numbers, DigitsNumbers):
        first = f"edge of stability 2(1 + m)/η = {numbers.edge:.3g}; {numbers.steps} steps"
        rows = {}
        for one in numbers.directions:
            rows[f"{one.name}: SGD − exact"] = one.to_exact
            rows[f"{one.name}: SGD − SDE"] = one.to_sde
    else:
        first = f"T = η′σ²/B = {numbers.temperature:.4g}; {numbers.steps} steps, t = {numbers.time:.4g}"
        rows = {" − ".join(pair): found for pair, found in numbers.distances.items()}
    lines = "".join(_row(name, found) for name, found in rows.items())
    head = f"<tr><th {_CELL}></th><th {_NUMBER}>KS</th><th {_NUMBER}>W₁</th></tr>"
    notes = "".join(f"<p {_SMALL}>{escape(note)}</p>" for note in numbers.notes)
    style = "border-collapse:collapse;font-size:14px;line-height:1.35"
    told = f'<p style="margin:8px 0">{escape(first)}</p>'
    return f'{told}<table style="{style}">{head}{lines}</table>{notes}'


def _row(name: str, found: Distance) -> str:
    cells = "".join(
        f"<td {_NUMBER}>{_number(value, error)}</td>"
        for value, error in ((found.ks, found.ks_error), (found.w1, found.w1_error))
    )
    return f"<tr><th {_CELL}>{escape(name)}</th>{cells}</tr>"


def _number(value: float, error: float) -> str:
    """With its standard error, which laws that are known do not have."""
    # chains that are lost, but not diverged yet, make it as large as can be
    form = ".4f" if max(value, error) < 1e4 else ".3g"
    return f"{value:{form}} ± {error:{form}}" if error else f"{value:{form}}"
