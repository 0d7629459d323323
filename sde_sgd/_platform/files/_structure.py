"""Pytrees taken apart into arrays and a description in JSON, and put together again; and pickled.

Dictionaries, lists and tuples come back as they were. Other nodes (modules, named tuples) hold what JSON
does not, functions for instance: of these a `Node` with the same names and arrays comes back.
"""

import copyreg
import io
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_KINDS: dict[type, str] = {dict: "dict", list: "list", tuple: "tuple"}


class Node:
    """A node of a pytree whose class did not come along: its arrays under their names.

    Attributes:
        class_name: what it was.
        names: of what it holds, which are attributes of this object.
    """

    def __init__(self, class_name: str, names: Sequence[str], children: Sequence[Any]):
        self.class_name, self.names, self.children = class_name, tuple(names), tuple(children)

    def __getattr__(self, name: str) -> Any:
        names = self.__dict__.get("names", ())
        if name in names:
            return self.children[names.index(name)]
        raise AttributeError(f"{self.__dict__.get('class_name')} read from a file has {', '.join(names)}")

    def __getitem__(self, name: Any) -> Any:
        return getattr(self, str(name))

    def __repr__(self) -> str:
        return f"Node({self.class_name}: {', '.join(self.names)})"

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], Any]:
        """For JAX."""
        keys = [jax.tree_util.GetAttrKey(name) for name in self.names]
        return list(zip(keys, self.children, strict=True)), (self.class_name, self.names)

    @classmethod
    def tree_unflatten(cls, auxiliary: Any, children: Sequence[Any]) -> "Node":
        """For JAX."""
        class_name, names = auxiliary
        return cls(class_name, names, children)


jax.tree_util.register_pytree_with_keys_class(Node)


def taken_apart(tree: Any) -> tuple[Any, list[np.ndarray]]:
    """A description of a pytree in JSON, and its arrays."""
    leaves: list[np.ndarray] = []
    return _described(tree, leaves), leaves


def put_together(description: Any, leaves: Sequence[np.ndarray]) -> Any:
    """The pytree of a description: arrays are where they were, in JAX or on the host."""
    if description is None:
        return None
    kind = description["kind"]
    if kind == "array":
        values = leaves[description["number"]]
        if "key" in description:
            return jax.random.wrap_key_data(jnp.asarray(values), impl=description["key"])
        return values if description["host"] else as_jax(values)
    if kind == "value":
        return description["value"]
    children = [put_together(child, leaves) for child in description["children"]]
    if kind == "dict":
        return dict(zip(description["names"], children, strict=True))
    if kind in ("list", "tuple"):
        return children if kind == "list" else tuple(children)
    return Node(kind, description["names"], children)


def names_of(description: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """The name of every array, such as `[0]['weight']`, and its number."""
    if description is None or description["kind"] == "value":
        return
    if description["kind"] == "array":
        yield name, description["number"]
        return
    for number, child in enumerate(description["children"]):
        if description["kind"] == "dict":
            own = f"[{description['names'][number]!r}]"
        elif description["kind"] in ("list", "tuple"):
            own = f"[{number}]"
        else:
            own = f".{description['names'][number]}"
        yield from names_of(child, name + own)


def as_jax(values: np.ndarray) -> Any:
    """An array of JAX, or of NumPy where JAX would change the numbers: float64 without `jax_enable_x64`."""
    return jnp.asarray(values) if jax.dtypes.canonicalize_dtype(values.dtype) == values.dtype else values


def key_parts(key: Any) -> tuple[str, list[Any]] | None:
    """Generator and words of a key."""
    if key is None:
        return None
    return str(jax.random.key_impl(key)), np.asarray(jax.random.key_data(key)).tolist()


def key_of(parts: Any) -> Any:
    """The key with these parts."""
    if parts is None:
        return None
    return jax.random.wrap_key_data(jnp.asarray(np.asarray(parts[1], np.uint32)), impl=parts[0])


def _described(node: Any, leaves: list[np.ndarray]) -> Any:
    if node is None:
        return None
    if isinstance(node, jax.Array | np.ndarray | np.generic):
        told: dict[str, Any] = {
            "kind": "array",
            "number": len(leaves),
            "host": not isinstance(node, jax.Array),
        }
        if jnp.issubdtype(node.dtype, jax.dtypes.prng_key):
            told["key"], words = key_parts(node) or ("", [])
            node = np.asarray(words, np.uint32)
        leaves.append(np.asarray(node))
        return told
    below = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda entry: entry is not node)[0]
    if any(not path for path, _ in below):
        plain = isinstance(node, str | bool | int | float)
        return {"kind": "value", "value": node if plain else repr(node)}
    children = [_described(child, leaves) for _, child in below]
    kind = _KINDS.get(type(node))
    names = [_name(path[-1]) for path, _ in below]
    if kind == "dict" and all(type(name) in (str, int) for name in names):
        return {"kind": kind, "names": names, "children": children}
    if kind in ("list", "tuple"):
        return {"kind": kind, "children": children}
    is_read = isinstance(node, Node)
    class_name = node.class_name if is_read else f"{type(node).__module__}.{type(node).__qualname__}"
    return {"kind": class_name, "names": [str(name) for name in names], "children": children}


def _name(entry: Any) -> Any:
    for field in ("name", "key", "idx"):
        if hasattr(entry, field):
            return getattr(entry, field)
    return str(entry)


def packed(tree: Any) -> dict[str, Any]:
    """A pytree that a fresh process can unpickle, whatever its nodes hold."""
    description, leaves = taken_apart(tree)
    structure: Any = jax.tree.structure(tree)
    skeleton = jax.tree.unflatten(structure, range(structure.num_leaves))
    return {"description": description, "leaves": leaves, "skeleton": dumped(skeleton)}


def unpacked(content: dict[str, Any]) -> Any:
    """The pytree again: its own nodes where their classes are there, else as from a file."""
    tree = put_together(content["description"], content["leaves"])
    skeleton = loaded(content["skeleton"])
    if skeleton is None:
        return tree
    structure: Any = jax.tree.structure(skeleton)
    leaves = jax.tree.leaves(tree)
    return jax.tree.unflatten(structure, leaves) if structure.num_leaves == len(leaves) else tree


class _Pickler(pickle.Pickler):
    """Keeps arrays of JAX by their numbers: read without `jax_enable_x64`, those of float64 remain."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, jax.Array):
            return NotImplemented
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            return key_of, (key_parts(value),)
        return as_jax, (np.asarray(value),)


def dumped(value: Any) -> bytes | None:
    """A pickle, or None of what has none, such as closures."""
    file = io.BytesIO()
    try:
        _Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    except Exception:  # noqa: BLE001 - whatever some object's own pickling raises
        return None
    return file.getvalue()


def loaded(data: bytes | None) -> Any:
    """What was pickled, or None where this process does not have its classes or functions."""
    if data is None:
        return None
    try:
        return pickle.loads(data)  # noqa: S301 - a part of what is being unpickled
    except Exception:  # noqa: BLE001 - whatever is missing here
        return None


def made_of(kind: type, fields: dict[str, Any]) -> Any:
    """An object of a frozen class with these fields, past its constructor."""
    made = copyreg.__newobj__(kind)  # type: ignore[attr-defined]
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made
