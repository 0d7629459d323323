"""What sets a card's result, as one short text: a finished card is kept as long as it stays the same."""

import ast
import hashlib
import inspect
from pathlib import Path
from typing import Any

import jax

import sde_sgd as ss
from paper_checks import _data
from paper_checks._card import Card
from paper_checks._context import Laws

PACKAGE = Path(__file__).parent


def fingerprint(card: Card, scale: str, seed: int, laws: Laws, data: Path | None = None) -> str:
    """A checksum of scale, seed, data, versions, laws, the card's texts and the source that tests it."""
    text = hashlib.sha256()
    parts = [scale, str(seed), *_data.mark(data), *versions().values()]
    parts += [_name(law) for law in (laws.sgd, laws.langevin, laws.gibbs)]
    parts += [f"{name}: {entry}" for name, entry in card.texts().items()]
    for path in sources(Path(inspect.getfile(inspect.unwrap(card.check)))):
        parts += [path.name, path.read_text(encoding="utf-8")]
    for part in parts:
        text.update(f"{len(part)}:{part}".encode())
    return text.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Library → version."""
    return {"sde_sgd": ss.__version__, "jax": jax.__version__}


def sources(path: Path) -> list[Path]:
    """A file and all files of this package that it imports, directly or not."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            waiting += _imported(here)
    return sorted(found)


def _imported(path: Path) -> list[Path]:
    files = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [file for alias in node.names for file in _files(f"{node.module}.{alias.name}")]
            files += modules or _files(node.module)
        elif isinstance(node, ast.Import):
            files += [file for alias in node.names for file in _files(alias.name)]
    return files


def _files(module: str) -> list[Path]:
    """The file of a module of this package; none of any other."""
    first, *rest = module.split(".")
    if first != PACKAGE.name or not rest:
        return []
    beginning = PACKAGE.joinpath(*rest)
    return [file for file in (beginning.with_suffix(".py"), beginning / "__init__.py") if file.exists()]


def _name(law: Any) -> str:
    return f"{law.__module__}.{getattr(law, '__qualname__', type(law).__qualname__)}"
