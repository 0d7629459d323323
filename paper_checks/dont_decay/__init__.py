"""The claims of "Don't Decay the Learning Rate, Increase the Batch Size"."""

from paper_checks._card import Card
from paper_checks.dont_decay import linear_scaling, momentum_scaling, scale, schedules, schedules_optimisers

CARDS: tuple[Card, ...] = (
    schedules.CARD,
    schedules_optimisers.CARD,
    linear_scaling.CARD,
    momentum_scaling.CARD,
    scale.CARD,
)
