"""What a card's check is given: scale, random numbers, the laws under test, a place to save."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import jax

import sde_sgd as ss

SCALES = ("smoke", "quick", "full")

T = TypeVar("T")


@dataclass(frozen=True)
class Laws:
    """What makes processes and stationary laws, for all cards.

    Tests put in others, with a planted fault that the right cards must notice.

    Attributes:
        sgd: (problem, hyper, **options) → process.
        langevin: the same for the SDE.
        gibbs: (problem, hyper, **options) → density.
    """

    sgd: Callable[..., Any] = ss.SGD
    langevin: Callable[..., Any] = ss.Langevin
    gibbs: Callable[..., Any] = ss.theory.gibbs


@dataclass(frozen=True)
class Context:
    """Given to every check. A check takes all its processes, laws and random numbers from here.

    Attributes:
        scale: "smoke" (a few seconds), "quick" (about half a minute on two cores), "full" (a GPU).
        key: of this card: from the seed and the card's id.
        laws: see `Laws`; `sgd`, `langevin` and `gibbs` below are short for its entries.
        checkpoints: folder in which `run` and `sweep` save, so that a stopped check goes on from
            there; None to save nothing.
        seed_key: from the seed alone, for `shared_sweep`; by default `key`.
        shared: what `shared_sweep` has made, for the cards that come after this one.
        data: the user's directory of data sets, for `_data`, which looks into it at full; None without one.
    """

    scale: str
    key: jax.Array
    laws: Laws = field(default_factory=Laws)
    checkpoints: Path | None = None
    seed_key: jax.Array | None = None
    shared: dict[str, ss.SweepResult] = field(default_factory=dict)
    data: Path | None = None

    def pick(self, *, smoke: T, quick: T, full: T) -> T:
        """The one for this scale."""
        return {"smoke": smoke, "quick": quick, "full": full}[self.scale]

    @property
    def sgd(self) -> Callable[..., Any]:
        """`ss.SGD`, or what a test put in its place."""
        return self.laws.sgd

    @property
    def langevin(self) -> Callable[..., Any]:
        """`ss.Langevin`, or what a test put in its place."""
        return self.laws.langevin

    @property
    def gibbs(self) -> Callable[..., Any]:
        """`ss.theory.gibbs`, or what a test put in its place."""
        return self.laws.gibbs

    def key_for(self, name: str) -> jax.Array:
        """A key for everything called `name` in this card, independent of those for other names."""
        return folded(self.key, name)

    def run(self, name: str, process: Any, **options: Any) -> ss.Result:
        """`ss.run` with its own key and checkpoints. No two calls of a card may share a name."""
        return ss.run(process, **self._with_defaults(name, options))

    def sweep(self, name: str, process: Any, problem: Any, **options: Any) -> ss.SweepResult:
        """`ss.sweep` with its own key and checkpoints. No two calls of a card may share a name.

        Every run has a start of its own: the tests of the cards take settings as independent.
        """
        options = {"paired_starts": False, **options}
        result: ss.SweepResult = ss.sweep(process, problem, **self._with_defaults(name, options))
        return result

    def shared_sweep(
        self, name: str, process: Any, problem: Any, *, chains: str | None = None, **options: Any
    ) -> ss.SweepResult:
        """As `sweep`, for several cards: the first that asks makes it, the others get the same one.

        Its key comes from the seed and the name, so a card finds the same alone as after others. Calls with
        the same name must agree in everything: write them as one function. Sweeps with the same `chains`
        have one key: where their settings are as many, the same starts and batches.
        """
        if name not in self.shared:
            key = folded(self.key if self.seed_key is None else self.seed_key, chains or name)
            self.shared[name] = self.sweep(name, process, problem, key=key, **options)
        return self.shared[name]

    def _with_defaults(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        defaults: dict[str, Any] = {"key": self.key_for(name), "progress": False}
        if self.checkpoints is not None:
            folder = self.checkpoints / f"{zlib.crc32(name.encode()):08x}"
            defaults |= {"checkpoint": ss.Checkpoint(folder, seconds=60.0), "resume": True}
        return defaults | options


def folded(key: jax.Array, name: str) -> jax.Array:
    """The key for a name: the same in every process, unlike one made with `hash`."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
