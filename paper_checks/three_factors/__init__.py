"""The claims of "Three Factors Influencing Minima in SGD", and where they end."""

from paper_checks._card import Card
from paper_checks.three_factors import (
    breakdown,
    cyclic,
    dynamics,
    endpoint,
    flatness,
    gibbs,
    interpolation,
    limit_clean,
    limit_edge,
    limit_shuffle,
    memorisation,
    sde_network,
    two_minima,
    variance,
)

CARDS: tuple[Card, ...] = (
    gibbs.CARD,
    two_minima.CARD,
    endpoint.CARD,
    flatness.CARD,
    interpolation.CARD,
    dynamics.CARD,
    breakdown.CARD,
    sde_network.CARD,
    variance.CARD,
    cyclic.CARD,
    *memorisation.CARDS,
    limit_clean.CARD,
    limit_edge.CARD,
    limit_shuffle.CARD,
)
