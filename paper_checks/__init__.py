"""Claims of papers about SGD, each checked by one card: `python -m paper_checks`.

A card (`_card.Card`) says what a paper claims, how it is tested here, the statistic with its threshold
and the reason for it, and the control that must fail. Its `check` is given a `_context.Context` and
returns an `_card.Outcome`. To add one, write a file in the folder of its paper,

    CARD = THREE_FACTORS.at("section 3").card(claim="...", ..., check=check)

    def check(context: Context) -> Outcome:
        result = context.run("sgd", context.sgd(problem, hyper), chains=1000, steps=500)
        ...
        return Outcome(measurements=(main, *others), control=control, summary="...", figure=figure)

and name it in the `CARDS` of the paper's `__init__.py`; its id is the name of the file. A new paper is
named in `_papers.py`. Thresholds are constants of the card's file, each with the theory, null distribution
or effect size it comes from; they are set before the run and never moved to fit. Importing a card makes no
arrays.
"""
