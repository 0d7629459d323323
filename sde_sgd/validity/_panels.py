"""How diagnoses and the like look in a notebook."""

import math
from typing import TYPE_CHECKING

import numpy as np

from sde_sgd._platform import _svg
from sde_sgd._platform._html import BAD, GOOD, OPEN, Panel
from sde_sgd._platform._shown import digits, short
from sde_sgd.validity._interval import BEYOND, WITHIN

if TYPE_CHECKING:
    from sde_sgd.validity._diagnosis import Diagnosis
    from sde_sgd.validity._largest_batch import LargestBatch
    from sde_sgd.validity._phase_diagram import PhaseDiagram
    from sde_sgd.validity._weak_error import WeakError

_ANSWERS = {"yes": GOOD, "no": BAD}
_COLOURS = {WITHIN: GOOD, BEYOND: BAD}


def of_diagnosis(found: "Diagnosis") -> Panel:
    """The two answers, and every cause with its interval in units of its limit."""
    rows = [
        _svg.Interval(
            one.name,
            one.interval.low / one.limit,
            one.severity,
            one.interval.high / one.limit,
            _COLOURS.get(one.answer, "currentColor"),
            f"{one.answer} the limit {one.limit:.3g}" if one.answer in _COLOURS else one.answer,
        )
        for one in found.causes
    ]
    worst = found.worst()
    notes = () if worst is None else (f"worst: {worst.name}. {worst.text}",)
    return Panel(
        "Diagnosis",
        f"SGD follows its SDE: {found.verdict}; and settles in exp(−2L/T) within its well: "
        f"{found.answer('gibbs')}",
        {"problem": type(found.problem).__name__, "hyperparameters": short(found.hyper)},
        pictures=(_svg.intervals(rows, "effect over its limit, with probability .99", limit=1.0),),
        notes=(*notes, "print it for all causes in words"),
        colour=_ANSWERS.get(found.verdict, OPEN),
    )


def of_diagram(found: "PhaseDiagram") -> Panel:
    """How many settings hold and break; the deviations over η and B, with a mark for each."""
    holds, breaks, lost, settings = found.holds, found.breaks, found._lost, found._settings
    marks = np.full(found.deviation.shape, "?", object)
    for where, mark in ((holds, "✓"), (breaks, "✗"), (lost, "∞"), (found.reference, "ref")):
        marks[where.transpose(*found.deviation.dims).values] = mark
    alone = ~(settings | found.reference).transpose(*found.deviation.dims).values
    marks[alone] = ""
    rates, sizes = ([digits(value) for value in found.deviation[dim].values] for dim in found.deviation.dims)
    picture = _svg.heat_map(
        np.abs(found.deviation.values.astype(float)),
        rates,
        sizes,
        ("η", "B"),
        "|deviation| in seed SD",
        marks,
    )
    counts = {"hold": holds, "break": breaks, "are undecided": settings & ~holds & ~breaks}
    said = ", ".join(f"{int(where.sum())} {name}" for name, where in counts.items())
    return Panel(
        "PhaseDiagram",
        f"η/B invariance of {found.observable}: {said}",
        {"limit": f"{found.limit:g} seed SD", "seeds": str(found.result.dataset.sizes.get("seed", ""))},
        pictures=(picture,),
        notes=("✓ holds, ✗ breaks, ∞ diverged, ? undecided, ref: what the others are held against",),
    )


def of_batch(found: "LargestBatch") -> Panel:
    """The largest batch, and the B that each bound allows."""
    size, scales = found.hyper.batch_size, (found.noise_scale_start, found.noise_scale)
    rows = [
        _svg.Interval(name, size, bound, bound, BAD if name == found.breaks_by else GOOD, f"B = {bound:.3g}")
        for name, bound in found.bounds.items()
        if math.isfinite(bound)
    ]
    return Panel(
        "LargestBatch",
        f"η in proportion to B up to B = {found.value} ({found.low} to {found.high}); "
        f"then {found.breaks_by} breaks it",
        {
            "η there": digits(found.learning_rate),
            "runs at": short(found.hyper),
            "λ₁ at the end": digits(found.sharpness),
            "B_simple": "{:.4g} at the start, {:.4g} at the end".format(*scales),
            **({"diverged": f"{found.diverged} runs"} if found.diverged else {}),
        },
        pictures=(_svg.intervals(rows, f"from B = {size} of the runs to the B allowed", log=True),),
    )


def of_weak_error(found: "WeakError") -> Panel:
    """One row for each observable."""
    table = [
        (name, f"{value:+.3e} ± {error:.1e}", f"{sgd:.6g}", f"{sde:.6g}")
        for name, value, error, sgd, sde in zip(
            found.names, found.value, found.standard_error, found.sgd, found.sde, strict=True
        )
    ]
    return Panel(
        "WeakError",
        f"SGD less {found.process} at η = {digits(found.learning_rate)}, t = {digits(found.time)}",
        columns=("observable", "weak error", "SGD", "SDE"),
        table=table,
        notes=(f"{found.steps} steps, n = {found.n}, {found.dropped} left out",),
    )
