"""Where to plant: statements drawn at random, so that not only what has a test is spoilt."""

import ast
import random
from collections.abc import Iterator
from pathlib import Path

_KINDS = (ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.If, ast.While, ast.For)


def statements(package: Path, number: int, seed: int) -> list[str]:
    """So many statements of the functions of a package, each with the same odds."""
    found = []
    for path in sorted(package.rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for name, node in _inside(ast.parse("\n".join(lines)), ""):
            shown = lines[node.lineno - 1].strip()
            found.append(f"{path.relative_to(package)}:{node.lineno} {name}: {shown}")
    return sorted(random.Random(seed).sample(found, min(number, len(found))))


def _inside(node: ast.AST, name: str) -> Iterator[tuple[str, ast.stmt]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield from _inside(child, f"{name}.{child.name}".lstrip("."))
        elif isinstance(child, ast.stmt):
            value = getattr(child, "value", child)
            words = isinstance(value, ast.JoinedStr) or isinstance(getattr(value, "value", None), str)
            if name and isinstance(child, _KINDS) and value is not None and not words:
                yield name, child
            yield from _inside(child, name)
