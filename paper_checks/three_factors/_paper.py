"""The paper."""

from paper_checks._card import Paper

THREE_FACTORS = Paper(
    name="three-factors",
    title="Three Factors Influencing Minima in SGD",
    source="Jastrzębski, Kenton, Arpit, Ballas, Fischer, Bengio, Storkey 2017, arXiv:1711.04623",
)
