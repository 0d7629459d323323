"""Types of arguments that have a name of their own, so that signatures stay short."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Int, PyTree
from typing_extensions import TypeAliasType


@runtime_checkable
class SupportsArray(Protocol):
    """What NumPy can make an array of: arrays of other libraries, tables, tensors."""

    def __array__(self) -> np.ndarray: ...


_Number = float | np.number | np.bool
# one number, which may be an array without axes
Scalar = TypeAliasType("Scalar", _Number | np.ndarray | Array)
# a number or an array, as formulas take them
ArrayLike = TypeAliasType("ArrayLike", _Number | np.ndarray | Array)
# a number, an array of any kind, or sequences of numbers; what shapes fit is for the function to say
Numbers = TypeAliasType(
    "Numbers", _Number | np.ndarray | Array | Sequence[_Number] | Sequence[Sequence[_Number]]
)
# a number of steps or substeps, in a compiled program or not
Count = TypeAliasType("Count", Int[Array, ""] | int)
# the parameters of one chain, or of many on a leading axis
if TYPE_CHECKING:
    Theta = TypeAliasType("Theta", PyTree)
else:
    Theta = PyTree[Float[Array | np.ndarray, "..."]]
# from the parameters of one chain to what is looked at
Observable = TypeAliasType("Observable", Callable[[PyTree], Array])
# what to look at, by names of its own or by those of methods of the problem
Records = TypeAliasType("Records", Mapping[str, Observable | str] | Sequence[str])
# which parameters: a function of a path such as "layers/0/weight", or a tree of bools like the parameters
Selection = TypeAliasType("Selection", Callable[[str], bool] | PyTree)
FilePath = TypeAliasType("FilePath", str | os.PathLike[str])
# how the examples of a minibatch are drawn, and the law of the noise of analytic problems
Sampling = TypeAliasType("Sampling", Literal["replacement", "subset", "shuffle", "shuffle_all"])
NoiseLaw = TypeAliasType("NoiseLaw", Literal["gaussian", "rademacher", "exponential"])
