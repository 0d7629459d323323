"""The claims of "Don't Decay the Learning Rate, Increase the Batch Size"."""

from paper_checks._card import Card

CARDS: tuple[Card, ...] = ()
