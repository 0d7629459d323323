"""Data sets and programs to cite."""

# ruff: noqa: E501 - a line for each
from collections.abc import Mapping

from sde_sgd._citation._reference import Reference, entries

_DATA_JOURNALS = """
lecun1998gradient | LeCun, Yann and Bottou, Léon and Bengio, Yoshua and Haffner, Patrick | Gradient-Based Learning Applied to Document Recognition | 1998 | journal=Proceedings of the IEEE | volume=86 | pages=2278--2324
"""
_DATA_CONFERENCES = """
greydanus2024scaling | Greydanus, Sam and Kobak, Dmitry | Scaling Down Deep Learning with MNIST-1D | 2024 | booktitle=International Conference on Machine Learning | eprint=2011.14439
"""
_DATA_OTHERS = """
alpaydin1998optical | Alpaydin, E. and Kaynak, C. | Optical Recognition of Handwritten Digits | 1998 | howpublished=UCI Machine Learning Repository
aeberhard1992wine | Aeberhard, Stefan and Forina, M. | Wine | 1992 | howpublished=UCI Machine Learning Repository
wolberg1993breast | Wolberg, William and Mangasarian, Olvi and Street, W. Nick | Breast Cancer Wisconsin (Diagnostic) | 1993 | howpublished=UCI Machine Learning Repository
clanuwat2018deep | Clanuwat, Tarin and Bober-Irizar, Mikel and Kitamoto, Asanobu and Lamb, Alex and Yamamoto, Kazuaki and Ha, David | Deep Learning for Classical Japanese Literature | 2018 | eprint=1812.01718
cohen2017emnist | Cohen, Gregory and Afshar, Saeed and Tapson, Jonathan and van Schaik, André | EMNIST: Extending MNIST to Handwritten Letters | 2017 | eprint=1702.05373
xiao2017fashion | Xiao, Han and Rasul, Kashif and Vollgraf, Roland | Fashion-MNIST: A Novel Image Dataset for Benchmarking Machine Learning Algorithms | 2017 | eprint=1708.07747
"""
_DATA_REPORTS = """
krizhevsky2009learning | Krizhevsky, Alex | Learning Multiple Layers of Features from Tiny Images | 2009 | institution=University of Toronto
"""
DATA = {
    **entries("article", _DATA_JOURNALS),
    **entries("inproceedings", _DATA_CONFERENCES),
    **entries("misc", _DATA_OTHERS),
    **entries("techreport", _DATA_REPORTS),
}
# names of data sets, and with their options → what to cite
DATA_NAMES = {
    "MNIST-1D": "greydanus2024scaling",
    "Fashion-MNIST": "xiao2017fashion",
    "KMNIST": "clanuwat2018deep",
    r"EMNIST \w+": "cohen2017emnist",
    r"MNIST(?: \d)?": "lecun1998gradient",
    "CIFAR-100?": "krizhevsky2009learning",
    "(?:augmented )?digits": "alpaydin1998optical",
    "wine": "aeberhard1992wine",
    "breast cancer": "wolberg1993breast",
}

_PROGRAMS = {
    **entries(
        "misc",
        """
jax | Bradbury, James and Frostig, Roy and Hawkins, Peter and Johnson, Matthew James and Leary, Chris and Maclaurin, Dougal and Necula, George and Paszke, Adam and VanderPlas, Jake and Wanderman-Milne, Skye and Zhang, Qiao | JAX: Composable Transformations of Python+NumPy Programs | 2018 | url=https://github.com/jax-ml/jax
optax | {DeepMind} | The DeepMind JAX Ecosystem | 2020 | url=https://github.com/google-deepmind/optax
equinox | Kidger, Patrick and Garcia, Cristian | Equinox: Neural Networks in JAX via Callable PyTrees and Filtered Transformations | 2021 | eprint=2111.00254
""",
    ),
    **entries(
        "phdthesis",
        """
diffrax | Kidger, Patrick | On Neural Differential Equations | 2021 | school=University of Oxford | eprint=2202.02435
""",
    ),
    **entries(
        "article",
        """
numpy | Harris, Charles R. and Millman, K. Jarrod and van der Walt, Stéfan J. and others | Array Programming with NumPy | 2020 | journal=Nature | volume=585 | pages=357--362
scipy | Virtanen, Pauli and Gommers, Ralf and Oliphant, Travis E. and others | SciPy 1.0: Fundamental Algorithms for Scientific Computing in Python | 2020 | journal=Nature Methods | volume=17 | pages=261--272
xarray | Hoyer, Stephan and Hamman, Joe | xarray: N-D Labeled Arrays and Datasets in Python | 2017 | journal=Journal of Open Research Software | volume=5
""",
    ),
}


def software(versions: Mapping[str, str], names: tuple[str, ...]) -> list[Reference]:
    """This package and the programs named, in the releases told.

    Args:
        versions: name → release.
        names: of the programs, as pip calls them.
    """
    ours = {"author": "{The authors of sde_sgd}", "title": _TITLE, "howpublished": "Python package"}
    found = [Reference("sde_sgd", "misc", ours | _released("sde_sgd", versions))]
    for name in names:
        one = _PROGRAMS[name]
        found.append(Reference(one.key, one.kind, one.fields | _released(name, versions)))
    return found


_TITLE = "Stochastic Gradient Descent beside its Stochastic Differential Equation"


def _released(name: str, versions: Mapping[str, str]) -> dict[str, str]:
    return {"version": versions[name]} if versions.get(name, "not installed") != "not installed" else {}
