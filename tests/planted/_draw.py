"""Where to plant: statements drawn at random, so that not only what has a test is spoilt."""

import ast
import random
from collections.abc import Iterator
from pathlib import Path

_SIMPLE = (ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr)


def statements(package: Path, number: int, seed: int) -> list[str]:
    """So many statements of a package, each with the same odds: of functions, and module constants."""
    found = []
    for path in sorted(package.rglob("*.py")):
        if path.name != "__init__.py":
            lines = path.read_text(encoding="utf-8").splitlines()
            for name, line in _inside(ast.parse("\n".join(lines)), "", within=False):
                found.append((str(path.relative_to(package)), name, line, lines[line - 1].strip()))
    drawn = random.Random(seed).sample(found, min(number, len(found)))
    return [f"{path}:{line} {name}: {shown}" for path, name, line, shown in sorted(drawn)]


def _inside(node: ast.AST, name: str, *, within: bool) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = f"{name}.{child.name}".lstrip(".")
            yield from _inside(child, inner, within=isinstance(child, ast.FunctionDef))
        elif isinstance(child, ast.stmt):
            if _counts(child, within=within):
                yield name, child.lineno
            yield from _inside(child, name, within=within)
        elif not isinstance(child, ast.expr):
            yield from _inside(child, name, within=within)


def _counts(node: ast.stmt, *, within: bool) -> bool:
    """Whether a statement computes or decides something, rather than say it in words."""
    if not within:
        return isinstance(node, ast.Assign) and not _in_words(node.value)
    if isinstance(node, ast.If | ast.While | ast.For):
        return True
    value = getattr(node, "value", None)
    return isinstance(node, _SIMPLE) and value is not None and not _in_words(value)


def _in_words(value: ast.expr) -> bool:
    return isinstance(value, ast.JoinedStr) or (
        isinstance(value, ast.Constant) and isinstance(value.value, str)
    )
