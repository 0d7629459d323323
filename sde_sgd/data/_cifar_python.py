"""The Python version of CIFAR, read without unpickling it.

A pickle is a program for a small machine that can call any function of Python. The batches of CIFAR
need a few of its instructions: to make numbers, texts, lists and one dictionary, and to *name* two
functions of NumPy. Here these few are followed and nothing is called; the array is then put together
from its bytes. Whatever else a file asks for is refused.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from sde_sgd import _checks
from sde_sgd.data import _files

PIXELS = 3 * 32 * 32
# A file of 50000 images has about 300 thousand instructions.
_MAX_INSTRUCTIONS = 2**20
_MODULES = (b"numpy.core.multiarray", b"numpy._core.multiarray")


class _Name(NamedTuple):
    module: bytes
    name: bytes


class _Made:
    """What a function would be called for: its name, its arguments and the state it is given then."""

    def __init__(self, function: Any, arguments: Any):
        self.function = function
        self.arguments = arguments
        self.state: Any = None


class _RefusedError(Exception):
    pass


def read_python_batch(
    path: Path, labels: str, limit: int
) -> tuple[UInt8[np.ndarray, "n 3072"], UInt8[np.ndarray, " n"]]:
    """The pixels and the labels of one file.

    Args:
        path: the file.
        labels: the name of the labels in it: "labels", "fine_labels" or "coarse_labels".
        limit: largest size of the file in bytes.

    Raises:
        ValueError: if it is too large, or is not a batch of CIFAR as it is given out.
    """
    with _files.opened(path) as stream:
        data = bytes(_files.read_up_to(stream, limit))
        if stream.read(1):
            raise ValueError(
                f"{path} holds more than max_bytes = {limit} bytes. If it is right, raise max_bytes."
            )
    try:
        return _batch(_Machine(data).result(), labels.encode())
    except (_RefusedError, IndexError, TypeError, ValueError, KeyError, AttributeError) as error:
        told = f" ({error})" if isinstance(error, _RefusedError) else ""
        raise ValueError(
            f"{path} is not a batch of the Python version of CIFAR as it is given out{told}. It is a pickle, "
            f"which could run any code; nothing in it was run. Get it again, or the binary version."
        ) from error


def _batch(content: Any, wanted: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels out of the dictionary of a batch."""
    if not isinstance(content, dict) or b"data" not in content or wanted not in content:
        raise _RefusedError(f"it holds no 'data' and {wanted.decode()!r}")
    made = content[b"data"]
    if made.function not in [_Name(module, b"_reconstruct") for module in _MODULES]:
        raise _RefusedError("its data are no array")
    _, shape, kind, by_column, pixels = made.state
    if kind.function != (b"numpy", b"dtype") or kind.arguments[0] != b"u1" or by_column is not False:
        raise _RefusedError("its data are no unsigned bytes, row by row")
    if not isinstance(pixels, bytes) or not isinstance(shape, tuple) or shape[1:] != (PIXELS,):
        raise _RefusedError("its data are no rows of 3072 pixels")
    labels = content[wanted]
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise _RefusedError("its labels are no list of small numbers")
    if not labels or shape[0] != len(labels) or len(pixels) != PIXELS * len(labels):
        raise _RefusedError(f"it has {len(labels)} labels and {len(pixels)} pixels")
    return np.frombuffer(pixels, np.uint8).reshape(-1, PIXELS), np.array(labels, np.uint8)


class _Machine:
    """The few instructions, followed; texts of either kind stay bytes.

    Args:
        data: the file.
    """

    def __init__(self, data: bytes):
        self.data = data
        self.place = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        """What the pickle describes."""
        for _ in range(_MAX_INSTRUCTIONS):
            code = self.take(1)
            if code == b".":
                return self.stack.pop()
            follow = _INSTRUCTIONS.get(code)
            if follow is None:
                raise _RefusedError(
                    f"it has the instruction {code!r} at byte {self.place - 1}, which none needs"
                )
            follow(self)
        raise _RefusedError(f"it has more than {_MAX_INSTRUCTIONS} instructions")

    def take(self, count: int) -> bytes:
        """The next bytes."""
        taken = self.data[self.place : self.place + count]
        if len(taken) < count:
            raise _RefusedError("it is truncated")
        self.place += count
        return taken

    def number(self, width: int, *, signed: bool = False) -> int:
        """The next number of so many bytes."""
        return int.from_bytes(self.take(width), "little", signed=signed)

    def line(self) -> bytes:
        """What comes before the next end of a line."""
        end = self.data.find(b"\n", self.place, self.place + 200)
        if end < 0:
            raise _RefusedError("it is truncated")
        return self.take(end + 1 - self.place)[:-1]

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        """Take from the stack what is above the last mark."""
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def last(self, count: int) -> tuple[Any, ...]:
        """Take so many from the stack."""
        if len(self.stack) < count:
            raise _RefusedError("its stack is too short")
        values = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return values

    def extend(self, values: list[Any]) -> None:
        """Append to the list on the stack."""
        if type(self.stack[-1]) is not list:
            raise _RefusedError("it appends to what is no list")
        self.stack[-1].extend(values)

    def update(self, values: list[Any]) -> None:
        """Put keys and values into the dictionary on the stack."""
        if type(self.stack[-1]) is not dict:
            raise _RefusedError("it puts entries into what is no dictionary")
        for key, value in zip(values[::2], values[1::2], strict=False):
            if type(key) is not bytes:
                raise _RefusedError("it has a key that is no text")
            self.stack[-1][key] = value

    def name(self, module: Any, name: Any) -> None:
        """Name a function: of two only, and they are not looked up."""
        named = _Name(module, name)
        known = [_Name(known, b"_reconstruct") for known in _MODULES]
        if named not in [*known, (b"numpy", b"ndarray"), (b"numpy", b"dtype")]:
            # shortened as it is read: what a pickle shares with itself may be endless
            shown = f"{_checks.short(module)} {_checks.short(name)}"
            raise _RefusedError(f"it names {shown}, which no batch needs")
        self.push(named)

    def build(self) -> None:
        """Give what was made last its state."""
        (state,) = self.last(1)
        if type(self.stack[-1]) is not _Made:
            raise _RefusedError("it gives a state to what has none")
        self.stack[-1].state = state


_INSTRUCTIONS: dict[bytes, Any] = {
    b"\x80": lambda m: m.take(1),  # which version of the language follows
    b"\x95": lambda m: m.take(8),
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"}": lambda m: m.push({}),
    b"]": lambda m: m.push([]),
    b")": lambda m: m.push(()),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.number(1)),
    b"M": lambda m: m.push(m.number(2)),
    b"J": lambda m: m.push(m.number(4, signed=True)),
    b"U": lambda m: m.push(m.take(m.number(1))),
    b"C": lambda m: m.push(m.take(m.number(1))),
    b"\x8c": lambda m: m.push(m.take(m.number(1))),
    b"T": lambda m: m.push(m.take(m.number(4))),
    b"B": lambda m: m.push(m.take(m.number(4))),
    b"X": lambda m: m.push(m.take(m.number(4))),
    b"q": lambda m: m.memo.__setitem__(m.number(1), m.stack[-1]),
    b"r": lambda m: m.memo.__setitem__(m.number(4), m.stack[-1]),
    b"\x94": lambda m: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    b"h": lambda m: m.push(m.memo[m.number(1)]),
    b"j": lambda m: m.push(m.memo[m.number(4)]),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"\x85": lambda m: m.push(m.last(1)),
    b"\x86": lambda m: m.push(m.last(2)),
    b"\x87": lambda m: m.push(m.last(3)),
    b"a": lambda m: m.extend(list(m.last(1))),
    b"e": lambda m: m.extend(m.since_mark()),
    b"s": lambda m: m.update(list(m.last(2))),
    b"u": lambda m: m.update(m.since_mark()),
    b"c": lambda m: m.name(m.line(), m.line()),
    b"\x93": lambda m: m.name(*m.last(2)),
    b"R": lambda m: m.push(_Made(*m.last(2))),
    b"b": lambda m: m.build(),
}
