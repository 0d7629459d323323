"""A data set: training and test examples, and what they came from."""

import equinox as eqx
from jaxtyping import Array, Num

from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Numbers, SupportsArray
from sde_sgd.data import _arrays, _labels, _panel
from sde_sgd.data._known_names import keep_name


class Dataset(Shown, eqx.Module):
    """Training and test examples, from arrays of any library, lists or tables.

        data = Dataset(X, y, X_test, y_test)      # rows are examples

    The type says what the numbers mean. *Inputs*: floats and truth values become floats; integers
    stay integers (int32, unsigned ones too), so that token ids can index an embedding; the models of
    `sde_sgd.problems` that multiply by a matrix take them as numbers. *Targets*: integers 0..k−1 and
    truth values of shape `(N,)` are labels of k classes, without being told; floats are real values,
    whole ones too. To regress on integers, give floats: `y.astype(float)`. Integers of shape
    `(N, T)`, such as the tokens of a sequence, stay integers of no classes.

    Args:
        inputs: training inputs, shape `(N, ...)`.
        targets: training targets: integer class labels `(N,)`, or real values `(N,)` or `(N, k)`.
        test_inputs, test_targets: the same for the test set; both may have no rows.
        classes: number k of classes. None: found from integer targets, each of which must occur in
            the training set; real targets have none.
        name: what to call it in tables and figures.

    Raises:
        ValueError: if there are no training examples, rows have different shapes, or anything is
            missing, infinite, complex or no number; if labels are not 0..k−1; if integers do not fit
            into int32 (with jax_enable_x64, into int64); or if the parts do not fit each other.
    """

    inputs: Num[Array, "n ..."]
    targets: Num[Array, "n ..."]
    test_inputs: Num[Array, "m ..."]
    test_targets: Num[Array, "m ..."]
    classes: int | None = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        inputs: Numbers | SupportsArray,
        targets: Numbers | SupportsArray,
        test_inputs: Numbers | SupportsArray | None = None,
        test_targets: Numbers | SupportsArray | None = None,
        *,
        classes: int | None = None,
        name: str = "data",
    ):
        if (test_inputs is None) != (test_targets is None):
            raise ValueError("test_inputs and test_targets must be given together.")
        x, y = _arrays.array_of("inputs", inputs), _arrays.array_of("targets", targets)
        _arrays.check_pair("inputs", "targets", x, y)
        if len(x) == 0:
            raise ValueError("inputs must hold at least one training example, got N = 0.")
        test_x = test_y = None
        if test_inputs is not None:
            test_x = _arrays.array_of("test_inputs", test_inputs)
            test_y = _arrays.array_of("test_targets", test_targets)
            _arrays.check_pair("test_inputs", "test_targets", test_x, test_y)
        self.inputs, self.test_inputs = _arrays.kept_inputs(x, test_x)
        self.targets, self.test_targets, self.classes = _labels.kept_targets(y, test_y, classes)
        self.name = name
        keep_name(self.inputs, self.targets, name)

    def _panel(self) -> Panel:
        return _panel.of_data(self)

    @property
    def size(self) -> int:
        """N, the number of training examples."""
        return self.inputs.shape[0]
