"""Cards, measurements and outcomes of a paper that does not exist."""

import sde_sgd as ss
from paper_checks._card import Card, Measurement, Outcome, Paper

PAPER = Paper("made-up", "A title", "Somebody 2020, arXiv:0000.00000")


def measurement(met=True, **changes):
    kept = {"name": "a number", "estimate": 1.5, "threshold": "below 2", "met": met, "standard_error": 0.1}
    return Measurement(**(kept | changes))


def outcome(*met, control=False):
    figure, axes = ss.plot.figure()
    axes.plot([0, 1])
    parts = tuple(measurement(one) for one in met)
    return Outcome(parts, measurement(control), "It came out so.", figure)


def card(name="one", check=lambda _: outcome(True), paper=PAPER, **changes):
    texts = dict.fromkeys(
        ("place", "data", "paper_setting", "our_setting", "statistic", "threshold", "reason", "control"),
        "some <text>",
    )
    return Card(id=name, paper=paper, check=check, **({"claim": "a claim"} | texts | changes))
