"""All cards of all papers."""

from collections.abc import Sequence

from paper_checks import bayesian_sgd, diffusion_theory, dont_decay, sharpest_directions, three_factors
from paper_checks._card import Card

CARDS: tuple[Card, ...] = (
    *three_factors.CARDS,
    *bayesian_sgd.CARDS,
    *dont_decay.CARDS,
    *diffusion_theory.CARDS,
    *sharpest_directions.CARDS,
)


def chosen(cards: Sequence[Card], only: Sequence[str] | None, paper: str | None) -> list[Card]:
    """The cards with these ids, of this paper, in their own order.

    Raises:
        ValueError: for an id or paper that does not exist, or if nothing is left.
    """
    papers = list(dict.fromkeys(card.paper.name for card in cards))
    if paper is not None and paper not in papers:
        raise ValueError(f"--paper must be among {', '.join(papers)}, got {paper!r}.")
    among = [card for card in cards if paper is None or card.paper.name == paper]
    ids = [card.id for card in among]
    for asked in only or ():
        if asked not in ids:
            of = f" of {paper}" if paper else ""
            raise ValueError(f"--only must be among the cards{of}, {', '.join(ids)}; got {asked!r}.")
    return [card for card in among if not only or card.id in only]


def check_unique(cards: Sequence[Card]) -> None:
    """Refuse two cards with one id.

    Raises:
        ValueError: if there are.
    """
    ids = [card.id for card in cards]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise ValueError(f"the ids of cards must be unique, got {', '.join(twice)} more than once.")


check_unique(CARDS)
