"""The chains of a splitting: settled in the well, counted on their way up, drawn from at each level."""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from sde_sgd import random
from sde_sgd._platform._telling import warn
from sde_sgd.escape._trials import Trial, Ways, begin, flux, no_flux, relax, trials
from sde_sgd.processes._base import ChainState

_FIRST_STEPS, _MOST_RELAXATION = 128, 2**20
# home is where half of the chains are; of those at the first level there are so many
_AT_HOME, _AT_FIRST = 0.5, 0.9
# mean crossings of the first level that each chain is given time for
_CROSSINGS = 3
_MOST_LEVELS = 300
# share of chains that may be outside below a level before that is told
_NOT_MONOTONE = 0.01


class Paths:
    """The chains of all replicas, from the well upwards.

    Attributes:
        made: chain-steps so far.
        home, first: levels below which a chain has fallen back, and from which it has come up.
        relaxation: steps in which a chain forgets where in the well it was.
    """

    def __init__(self, ways: Ways, groups: tuple[int, int], key: Key[Array, ""], most: int):
        self._ways, self._groups, self._most = ways, groups, most
        self._keys = _keys(key)
        self._draw = np.random.default_rng(np.asarray(jax.random.key_data(next(self._keys))).ravel())
        self._chain = random.chain_numbers(groups[0] * groups[1])
        self.state: ChainState = begin(ways, self._chain)
        self.made = 0
        self.home, self.first, self.relaxation = 0.0, 0.0, 0

    def settle(self, pilot: "Paths | None") -> None:
        """Forget the start: until the mean level stays, or as long as the pilot took."""
        if pilot is not None:
            self.home, self.first, self.relaxation = pilot.home, pilot.first, pilot.relaxation
            self._levels = self._relax(2 * self.relaxation)
            return
        steps, before = _FIRST_STEPS, self._relax(_FIRST_STEPS)
        while True:
            now = self._relax(steps)
            steps *= 2
            error = np.hypot(before.std(), now.std()) / len(now) ** 0.5
            if abs(now.mean() - before.mean()) <= 2 * error or steps > _MOST_RELAXATION:
                break
            before = now
        self.relaxation, self._levels = steps, now
        self.home, self.first = (float(np.quantile(now, part)) for part in (_AT_HOME, _AT_FIRST))
        if not self.first > self.home:
            raise ValueError(
                f"climb must tell chains in the well apart, got {self.home:.6g} for {_AT_HOME:.0%} and "
                f"{_AT_FIRST:.0%} of them."
            )

    def flux(self) -> np.ndarray:
        """Crossings of the first level per step and chain of each replica; chains are left there."""
        home, first = jnp.asarray(self.home), jnp.asarray(self.first)
        here = no_flux(self.state, jnp.asarray(self._levels, home.dtype), home)
        steps = self.relaxation
        here = flux(self._ways, here, next(self._keys), jnp.int32(steps), home, first)
        self.made += steps * self._chain.size
        seen = int(here.crossings.sum())
        if not seen:
            raise ValueError(
                f"climb is never at {self.first:.6g} again in {steps} steps; it must vary in the well."
            )
        wanted = max(steps, round(_CROSSINGS * steps * self._chain.size / seen))
        # whether a chain was below home last is known now
        counted = eqx.tree_at(lambda at: at.crossings, here, jnp.zeros_like(here.crossings))
        counted = flux(self._ways, counted, next(self._keys), jnp.int32(wanted), home, first)
        self.made += wanted * self._chain.size
        crossings = np.asarray(counted.crossings).reshape(self._groups)
        theta, extra = counted.states
        self._go_on(ChainState(theta, self._chain, extra), crossings)
        result: np.ndarray = crossings.mean(axis=1) / wanted
        return result

    def climb_to(self, level: float) -> np.ndarray:
        """The share of each replica's chains that reach a level before they fall back; those go on."""
        last = self._trial(level)
        up = np.asarray(last.up).reshape(self._groups)
        if np.isfinite(level):
            self._go_on(last.state, up)
        result: np.ndarray = up.mean(axis=1)
        return result

    def ladder(self, share: float) -> list[float]:
        """Levels, the first one first and the outside (∞) last, of which each is reached by such a share."""
        self.flux()
        found, low = [self.first], 0.0
        while len(found) < _MOST_LEVELS:
            # of the highest that paths get, with no level to stop at
            whole = self._trial(np.inf)
            highest = np.asarray(whole.highest)
            target = float(np.sort(highest)[int(np.floor((1 - share) * len(highest)))])
            if not np.isfinite(target):
                _warn_unless_monotone(low)
                return [*found, np.inf]
            if not target > found[-1]:
                raise ValueError(
                    f"climb must rise on the way outside, got {target:.6g} for the furthest {share:.0%} of "
                    f"the paths that began at {found[-1]:.6g}. Give one that does, or more chains."
                )
            found.append(target)
            # outside with less of it than they should have by now
            early = np.isinf(highest) & (self._raw_levels(whole.state) < target)
            low = max(low, float(early.mean()))
            self.climb_to(target)
        raise ValueError(
            f"climb must lead outside, got to {found[-1]:.6g} in {_MOST_LEVELS} levels. Is there a way out?"
        )

    def _raw_levels(self, state: ChainState) -> np.ndarray:
        """Of every chain, outside too."""
        return np.asarray(jax.vmap(self._ways.level)(state.theta))

    def _trial(self, level: float) -> Trial:
        home, target = jnp.asarray(self.home), jnp.asarray(level)
        found = trials(self._ways, self.state, next(self._keys), home, target, jnp.int32(self._most))
        last: Trial = found[0]
        steps = found[1]
        self.made += int(steps) * self._chain.size
        stuck = int(last.going.sum())
        if stuck:
            raise ValueError(
                f"most_steps must be larger than {self._most}: {stuck} of {self._chain.size} paths had "
                f"neither fallen back nor gone on by then. There may be a well on the way, or no way out."
            )
        return last

    def _relax(self, steps: int) -> np.ndarray:
        self.state, levels = relax(self._ways, self.state, next(self._keys), jnp.int32(steps))
        self.made += steps * self._chain.size
        return np.asarray(levels, np.float64)

    def _go_on(self, state: ChainState, weights: np.ndarray) -> None:
        """From these chains, drawn with replacement within each replica, in proportion to the weights."""
        rows = []
        for number, own in enumerate(weights):
            total = own.sum()
            if not total:
                raise ValueError(
                    f"chains must be more than {weights.size}: replica {number} has none left that reached "
                    f"the next level. Or raise share."
                )
            rows.append(number * self._groups[1] + self._draw.choice(len(own), len(own), p=own / total))
        index = jnp.asarray(np.concatenate(rows))
        theta, extra = jax.tree.map(lambda leaf: leaf[index], (state.theta, state.extra))
        self.state = ChainState(theta, self._chain, extra)


def _warn_unless_monotone(share: float) -> None:
    if share > _NOT_MONOTONE:
        warn(
            f"climb does not rise all the way: {share:.0%} of the paths got outside with less of it than on "
            f"the way, which makes its error large. Give one that rises to the end.",
            stacklevel=4,
        )


def _keys(key: Key[Array, ""]) -> Iterator[Key[Array, ""]]:
    number = 0
    while True:
        yield jax.random.fold_in(key, number)
        number += 1
