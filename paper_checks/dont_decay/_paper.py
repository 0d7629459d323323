"""The paper."""

from paper_checks._card import Paper

DONT_DECAY = Paper(
    name="dont-decay",
    title="Don't Decay the Learning Rate, Increase the Batch Size",
    source="Smith, Kindermans, Ying, Le 2018, arXiv:1711.00489",
)
