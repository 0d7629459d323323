"""Directive `public-names`: an entry for every public name of a module, and a table of them first."""

import functools
import importlib
import inspect
import types
from collections.abc import Iterable
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import sde_sgd


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-bases", _process_bases)
    return {"parallel_read_safe": True}


@functools.cache
def modules() -> tuple[str, ...]:
    """The public modules inside the package."""
    return tuple(name for name in dir(sde_sgd) if isinstance(getattr(sde_sgd, name), types.ModuleType))


@functools.cache
def names(module: str) -> tuple[str, ...]:
    """What a module offers that is no module."""
    offered = importlib.import_module(module)
    return tuple(name for name in dir(offered) if not isinstance(getattr(offered, name), types.ModuleType))


@functools.cache
def places() -> dict[str, str]:
    """Every public name with its module → the one of its names under which it is documented.

    What the package itself offers is there; what two modules offer, at the first of them that made it.
    """
    found = {f"sde_sgd.{name}": f"sde_sgd.{name}" for name in names("sde_sgd")}
    at = {id(getattr(sde_sgd, name)): f"sde_sgd.{name}" for name in names("sde_sgd")}
    rooms = [f"sde_sgd.{module}" for module in modules()]
    found |= {room: room for room in rooms}
    for own in (True, False):
        for room in rooms:
            for name in names(room):
                value = getattr(importlib.import_module(room), name)
                home = getattr(value, "__module__", room)
                if (home == room or home.startswith(room + ".")) is own:
                    documented = callable(value)
                    full = f"{room}.{name}"
                    found[full] = at.setdefault(id(value), full) if documented else full
    return found


class PublicNames(SphinxDirective):
    """`.. public-names:: sde_sgd.theory`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A table with the first sentence of each, then the entries."""
        module = self.arguments[0]
        lines = [f".. py:module:: {module}", ""]
        here = [name for name in names(module) if places()[f"{module}.{name}"] == f"{module}.{name}"]
        elsewhere = [name for name in names(module) if name not in here]
        if here:
            lines += [".. list-table::", "   :widths: 30 70", "   :class: names", ""]
        for name in here:
            lines += [f"   * - :py:obj:`{name} <{module}.{name}>`", f"     - {_first(module, name)}"]
        lines += [""]
        for name in here:
            lines += [*_entry(module, name), ""]
        for name in elsewhere:
            lines += [f".. py:data:: {name}", "   :no-contents-entry:", ""]
            lines += [f"   :py:obj:`{places()[f'{module}.{name}']}`, by another name.", ""]
        holder = nodes.section()
        holder.document = self.state.document
        content = StringList(lines, source=f"public names of {module}")
        self.state.nested_parse(content, self.content_offset, holder)
        return holder.children


def _first(module: str, name: str) -> str:
    from house_style import converted

    value = getattr(importlib.import_module(module), name)
    if not callable(value):
        return ""
    paragraph = (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")
    return " ".join(converted([paragraph], f"{module}.{name}"))


def _entry(module: str, name: str) -> list[str]:
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, Exception) else "autoclass"
        bases = ["   :show-inheritance:"] if _public_bases(value.__bases__) else []
        return [f".. {kind}:: {module}.{name}", "   :members:", *bases]
    if callable(value):
        return [f".. autofunction:: {module}.{name}"]
    return [f".. py:data:: {name}", "", "   .. code-block:: text", "", f"      {value!r}"]


def _public_bases(bases: Iterable[type]) -> list[str]:
    split = [full.rpartition(".") for full in set(places().values())]
    known = {
        id(getattr(importlib.import_module(module), name)): f"{module}.{name}" for module, _, name in split
    }
    return [known[id(base)] for base in bases if id(base) in known]


def _process_bases(*about: Any) -> None:
    """Only bases that are public are told."""
    about[-1][:] = [f":py:obj:`{full}`" for full in _public_bases(about[-1])]
