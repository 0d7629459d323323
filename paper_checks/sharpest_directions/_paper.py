"""The two papers."""

from paper_checks._card import Paper

SHARPEST_DIRECTIONS = Paper(
    name="sharpest-directions",
    title="On the Relation Between the Sharpest Directions of DNN Loss and the SGD Step Length",
    source="Jastrzębski, Kenton, Ballas, Fischer, Bengio, Storkey 2019, arXiv:1807.05031; the workshop paper "
    "before it, 2018, is SGD Smooths the Sharpest Directions",
)
