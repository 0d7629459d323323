"""What a piece of code loads from outside when it runs, found in its bytecode."""

import dis
import functools
import hashlib
from dataclasses import dataclass
from types import CodeType
from typing import Any

# a name, and the attributes that are looked up in it one after the other
Chain = tuple[str, ...]
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME")
_CELLS = ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
# what may stand between the load of a name and that of its attribute
_BETWEEN = ("EXTENDED_ARG", "PUSH_NULL", "CACHE", "NOP")


@dataclass(frozen=True)
class Reads:
    """What code and the code within it load.

    Attributes:
        globals: names of the module, each with what follows it.
        cells: names of the functions around it likewise.
        imports: modules that are imported when it runs: name, level, and what is taken from them.
        checksum: of the code itself.
    """

    globals: tuple[Chain, ...]
    cells: tuple[Chain, ...]
    imports: tuple[tuple[str, int, Chain], ...]
    checksum: str


@functools.lru_cache(maxsize=4096)
def reads(code: CodeType) -> Reads:
    """What a piece of code reads, in the order of names."""
    loaded: set[Chain] = set()
    cells: set[Chain] = set()
    imports: set[tuple[str, int, Chain]] = set()
    _collect(code, loaded, cells, imports)
    return Reads(tuple(sorted(loaded)), tuple(sorted(cells)), tuple(sorted(imports)), checksum(code))


def _collect(
    code: CodeType, loaded: set[Chain], cells: set[Chain], imports: set[tuple[str, int, Chain]]
) -> None:
    into: set[Chain] | None = None
    chain: Chain = ()
    constants: list[Any] = []
    for instruction in dis.get_instructions(code):
        operation = instruction.opname
        if operation in _BETWEEN:
            continue
        if into is not None:
            if operation in _ATTRIBUTES:
                chain += (instruction.argval,)
                continue
            into.add(chain)
            into = None
        if operation in _GLOBALS or operation in _CELLS:
            into, chain = loaded if operation in _GLOBALS else cells, (instruction.argval,)
        elif operation == "IMPORT_NAME":
            level, taken = constants[-2:]  # which are loaded just before
            imports.add((instruction.argval, level, tuple(taken or ())))
        elif operation in ("LOAD_CONST", "LOAD_SMALL_INT"):
            constants.append(instruction.argval)
    if into is not None:
        into.add(chain)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _collect(constant, loaded, cells, imports)


@functools.lru_cache(maxsize=4096)
def checksum(code: CodeType) -> str:
    """What tells two pieces of code apart, wherever they stand."""
    found = hashlib.blake2b(code.co_code, digest_size=6)
    for constant in code.co_consts:
        told = checksum(constant) if isinstance(constant, CodeType) else text(constant)
        found.update(f"{told}\n".encode())
    for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
        found.update(f"{' '.join(names)}\n".encode())
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    found.update(repr(counts).encode() + code.co_exceptiontable)
    return found.hexdigest()


def text(constant: Any) -> str:
    """`repr`, but the same in every process: that of a set of strings follows their hashes."""
    if isinstance(constant, set | frozenset):
        return f"{{{', '.join(sorted(map(text, constant)))}}}"
    if isinstance(constant, tuple):
        return f"({', '.join(map(text, constant))})"
    return repr(constant)
