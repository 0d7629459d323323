"""Numbers and arrays as text: themselves where they are few, else a checksum."""

import hashlib
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# characters of a text that is written out
_LONG = 200
# the texts of arrays that cannot change, as long as they are there
_TEXTS: dict[int, tuple[weakref.ref[Any], str]] = {}


def checksum(content: Any) -> str:
    """Sixteen digits that two contents share by chance once in 10¹⁹ pairs."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def array_text(value: Any) -> str:
    """Shape, dtype and the numbers or their checksum."""
    if not isinstance(value, jax.Array):
        return _text(np.asarray(value))
    number = id(value)
    known = _TEXTS.get(number)
    if known is not None and known[0]() is value:
        return known[1]
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        text = f"{jax.random.key_impl(value)} {np.asarray(jax.random.key_data(value)).tolist()}"
    else:
        text = _text(np.asarray(value)) + (" weak" if value.weak_type else "")
    _TEXTS[number] = weakref.ref(value, lambda _: _TEXTS.pop(number, None)), text
    return text


def forget() -> None:
    """Let go of the texts of arrays."""
    _TEXTS.clear()


def _text(array: np.ndarray) -> str:
    if 0 < array.size <= 4:
        return f"{array.tolist()!r} ({array.dtype})"
    return f"{array.dtype}{list(array.shape)} with checksum {checksum(np.ascontiguousarray(array))}"


def plain_text(value: Any) -> str:
    """A number or text as itself, a long one as its ends and a checksum."""
    text = repr(value)
    if len(text) <= _LONG:
        return text
    return f"{text[:40]} … ({len(text)} characters with checksum {checksum(text.encode())})"
