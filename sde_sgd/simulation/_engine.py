"""The one loop: chunks of steps in a compiled program, host code between them."""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from sde_sgd import _tree
from sde_sgd._platform import _devices
from sde_sgd._platform._interrupt import Interrupted
from sde_sgd._platform._telling import log
from sde_sgd._platform.checkpoints._checkpoint import CheckpointError, Part, due
from sde_sgd._platform.checkpoints._saving import check_length, packed, unpacked, without_end
from sde_sgd._platform.checkpoints._session import Session
from sde_sgd.processes._base import ChainState
from sde_sgd.simulation._compensated import whole
from sde_sgd.simulation._memory import check
from sde_sgd.simulation._outcome import Before, Outcome, never
from sde_sgd.simulation._program import KEPT_SPECS, Ensemble, Program
from sde_sgd.simulation._recording import samples_at_once
from sde_sgd.simulation._task import Task

# A chunk aims at this many seconds: long enough that host work is lost in it, short enough for a
# progress bar and for Ctrl-C.
_CHUNK_SECONDS = 1.0
# a burn-in that no step of the clock is beyond
_NEVER = 2**31 - 1
# From so many chains on what is known of each is made and counted on the devices; below, calls cost more.
_MANY = 2**16
_FEW_BYTES = 2**18


def simulate(
    task: Task,
    shapes: ChainState,
    make_state: Callable[[], ChainState],
    before: Before | None,
    session: Session,
    part: str,
    cost: float = 1.0,
) -> Outcome:
    """Run one ensemble from a state, or from its newest checkpoint.

    Args:
        task: what to run.
        shapes: of the state, so that memory is checked before any of it is made.
        make_state: makes the state to start from, with or without padding.
        before: what has happened to the chains already, or None.
        session: bar, signals, checkpoints.
        part: name of this ensemble's checkpoints.
        cost: units of the bar for one step.
    """
    ensemble, program, kept = task.prepare(shapes)
    check(task.predict_memory(shapes, program, session.memory_limit), task.predictions(shapes))
    before = Before.nothing(task.layout.chains) if before is None else before
    if session.store is None:
        return _Loop(task, ensemble, program, kept, session, part, None, cost).run(shapes, make_state, before)
    with contextlib.closing(session.store.part(part)) as saved:
        return _Loop(task, ensemble, program, kept, session, part, saved, cost).run(
            shapes, make_state, before
        )


class _Loop:
    """The state of one simulation between chunks."""

    def __init__(
        self,
        task: Task,
        ensemble: Ensemble,
        program: Program,
        kept: PyTree,
        session: Session,
        part: str,
        saved: Part | None,
        cost: float,
    ):
        self.task, self.plan, self.layout = task, task.plan, task.layout
        self.ensemble, self.program = ensemble, program
        self.kept = jax.tree.map(lambda like: np.zeros(like.shape, like.dtype), kept)
        stores = jax.tree.leaves(kept["record"])
        self.capacity = stores[0].shape[0] if stores else samples_at_once({}, self.layout.slots)
        self.session, self.part, self.saved, self.cost = session, part, saved, cost
        self.many = self.layout.slots >= _MANY and jax.process_count() == 1
        self.padding = self.layout.slots - self.layout.chains
        self.done = 0
        self.over = False
        self.records: list[dict[str, np.ndarray]] = []
        self.steps: list[np.ndarray] = []
        self.counts = {name: np.zeros(ask.cells, np.int64) for name, ask in task.recorder.histograms.items()}
        self.lost = 0

    def run(self, shapes: ChainState, make_state: Callable[[], ChainState], before: Before) -> Outcome:
        self.before = before
        restored = None if self.saved is None else self.saved.restore()
        if restored is not None:
            self._take_up(shapes, *restored)
            self.session.bar.skip(self.done * self.cost)
        else:
            self._begin(make_state(), before)
        self._go_on()
        return self._outcome()

    def _begin(self, state: ChainState, before: Before) -> None:
        # the compiled program takes these arrays over, so it is given copies
        if self.plan.steps and self.layout.leaves_on_host(state):
            self.state = self.layout.pad(jax.tree.map(np.array, state))
        else:
            self.state = self.layout.place(_copied(self.layout.pad(state)), _devices.CHAINS)
        self.lost = before.lost
        if self.many and not self.padding and before.is_nothing:
            self.kept = self.layout.filled(self.kept, KEPT_SPECS, {"diverged": -1, "stopped": -1})
        else:
            self._lay_out_kept(before)
        recorder = self.task.recorder
        if self.plan.sample_start and self._sees_ends:
            self._chunk(0, 1, keep=True)
        if recorder.stops:
            self._look(self.plan.start)

    def _lay_out_kept(self, before: Before) -> None:
        # the copies that fill up the slots count as lost from the start, so nothing counts them
        lost, stopped = (
            np.concatenate([np.asarray(steps, np.int32), np.zeros(self.padding, np.int32)])
            for steps in (before.diverged, before.stopped)
        )
        self.kept = {**self.kept, "diverged": lost, "stopped": stopped}
        if jax.process_count() > 1:  # else the program lays them out, in less time
            self.kept = self.layout.place(self.kept, KEPT_SPECS)

    def _go_on(self) -> None:
        plan, saved_at = self.plan, time.monotonic()
        pace = max(1.0, _CHUNK_SECONDS * self.program.pace / 2)
        if self.done < plan.steps and not self.over:
            self._listen()  # it may have come while this was being compiled
        while self.done < plan.steps and not self.over:
            begin, length, gap = plan.stretch(self.done)
            block, size, keep = next_block(self.done - begin, length, gap, pace, self.capacity)
            ends = self._sees_ends and self._is_end(block * size)
            began = time.perf_counter()
            self._chunk(block, size, keep=keep or ends)
            (spent,) = _devices.agree(time.perf_counter() - began)
            self.done += block * size
            self.session.bar.advance(block * size * self.cost)
            # the first block holds the compilation, so grow from there by at most a factor 8
            pace = block * size * min(8.0, max(1e-3, _CHUNK_SECONDS / max(spent, 1e-6)))
            self.program.pace = max(self.program.pace / 2, pace / _CHUNK_SECONDS)
            if keep or ends:
                self._look(plan.start + self.done)
            self._listen()
            if self.session.store is not None:
                (late,) = _devices.agree(float(due(saved_at, time.monotonic(), self.session.store.ask)))
                if late:
                    self._save()
                    saved_at = time.monotonic()
        if self.done < plan.steps:  # all chains have stopped before the end
            self.session.bar.skip((plan.steps - self.done) * self.cost)
        self._save()

    @property
    def _sees_ends(self) -> bool:
        """Whether start and end are samples: statistics alone begin after the start."""
        return bool(self.task.recorder.record) or self.task.recorder.stops

    def _is_end(self, length: int) -> bool:
        """Whether a chunk of so many steps ends the run where no sample is due."""
        return self.plan.keep_end and self.done + length == self.plan.steps

    def _chunk(self, block: int, size: int, *, keep: bool) -> None:
        begin = self.plan.start + self.done
        counts = np.asarray([begin, block, size, self.plan.start + self.plan.burn_in], np.int32)
        if self._is_end(block * size):
            counts[3] = _NEVER  # it is no mark, so no statistics take it
        self.state, self.kept = self.ensemble.call(
            self.program, self.state, self.kept, counts, np.asarray(keep)
        )
        self.kept["diverged"].block_until_ready()
        if not keep:
            return
        steps = begin + block * np.arange(1, size + 1)
        self.steps.append(steps)
        self.records.append(
            {name: self._samples(store, len(steps)) for name, store in self.kept["record"].items()}
        )
        if block and self.counts:
            for name, counted in self.kept["histograms"].items():
                self.counts[name] += _devices.fetch(counted).sum(axis=0)
            self.kept["histograms"] = self.layout.place(
                jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), self.kept["histograms"]),
                KEPT_SPECS["histograms"],
            )

    def _samples(self, store: Any, number: int) -> np.ndarray:
        """The first samples of a record."""
        if store.nbytes <= _FEW_BYTES:  # to cut it takes longer than to fetch all of it
            return np.asarray(self.layout.to_host(store, axis=1)[:number])
        return np.asarray(self.layout.to_host(store[:number], axis=1))

    def _look(self, step: int) -> None:
        """Log what was lost, and see whether all chains have stopped."""
        lost, over = self._fates()
        if lost > self.lost:
            log.info("by step %d: %d of %d chains have diverged", step, lost, self.layout.chains)
            self.session.bar.note(f"{lost} diverged")
            self.lost = lost
        self.over = over and self.task.recorder.stops

    def _fates(self) -> tuple[int, bool]:
        """How many chains have diverged, and whether each of them has diverged or stopped."""
        if self.many:
            lost, ended = np.asarray(_counted(self.kept["diverged"], self.kept["stopped"]))
            return int(lost) - self.padding, int(ended) == self.layout.slots
        diverged = self.layout.to_host(self.kept["diverged"])
        lost = int((diverged >= 0).sum())
        if not self.task.recorder.stops:
            return lost, False
        return lost, bool(((self.layout.to_host(self.kept["stopped"]) >= 0) | (diverged >= 0)).all())

    def _listen(self) -> None:
        number = self.session.interrupt.noted()
        if not number:
            return
        if self.saved is not None:
            failure = self._save()
            at, end = self.plan.start + self.done, self.plan.start + self.plan.steps
            if failure is None:
                log.warning(
                    "interrupted: saved at step %d of %d; run the same with resume=True to go on", at, end
                )
            else:
                log.warning("interrupted at step %d of %d, and not saved: %s", at, end, failure)
            # JAX ends every host soon after the first has gone: none goes before all have said so
            _devices.agree(number)
        raise Interrupted(number)

    def _save(self) -> CheckpointError | None:
        """Write a checkpoint. If it cannot be written that is noted, and there will be another."""
        if self.saved is None or self.session.store is None:
            return None
        arrays = packed(self.state, self.kept, self._record(), self._record_steps(), self.counts)
        facts: dict[str, Any] = {"done": self.done, "over": self.over, "chains": self.layout.chains}
        facts |= {"start": self.plan.start, "steps": self.plan.steps}
        facts |= {"looked": self.plan.looked(self.done), "looked_before": self.plan.looked(self.done - 1)}
        facts["end_alone"] = self.plan.keep_end and self.done == self.plan.steps
        failure = None
        try:
            self.saved.save(self.done, arrays, facts)
        except CheckpointError as error:
            if jax.process_count() > 1:  # the other hosts wait for what this one cannot write
                raise
            failure = error
        self.session.store.note(self.part, failure, again=self.done < self.plan.steps and not self.over)
        return failure

    def _take_up(
        self, shapes: ChainState, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]
    ) -> None:
        """Go on from a checkpoint, which may have been written on another number of devices."""
        plan = self.plan
        if not check_length(plan.start, plan.steps, plan.looked(int(facts["done"])), facts):
            arrays, facts = without_end(arrays, facts, plan.start)
        self.done, self.over = int(facts["done"]), bool(facts["over"])
        state, kept = unpacked(self.layout, shapes, self.kept, arrays)
        self.state = self.layout.place(state, _devices.CHAINS)
        self.lost = int((kept["diverged"][: self.layout.chains] >= 0).sum())
        self.kept = self.layout.place(kept, KEPT_SPECS)
        self.steps = [arrays["record_steps"]]
        names = self.task.recorder.record
        self.records = [{name: arrays[f"record.{number}"] for number, name in enumerate(names)}]
        for number, name in enumerate(self.counts):
            self.counts[name] = arrays[f"histograms.{number}"]

    def _record(self) -> dict[str, np.ndarray]:
        """What was recorded so far; the pieces are joined for good."""
        if len(self.records) > 1:
            names = self.task.recorder.record
            self.records = [{name: np.concatenate([part[name] for part in self.records]) for name in names}]
        if self.records:
            return self.records[0]
        shapes = self.task.recorder.shapes(self.state.theta)
        return {
            name: np.zeros((0, self.layout.chains, *shape.shape[1:]), shape.dtype)
            for name, shape in shapes.items()
        }

    def _record_steps(self) -> np.ndarray:
        if len(self.steps) > 1:
            self.steps = [np.concatenate(self.steps)]
        return self.steps[0] if self.steps else np.zeros(0, np.int64)

    def _outcome(self) -> Outcome:
        diverged = self._diverged_at_all()
        stopped = self.before.stopped
        if self.task.recorder.stops:
            stopped = self.layout.to_host(self.kept["stopped"])
        record, steps = self._record(), self._record_steps()
        count: np.ndarray = np.broadcast_to(_devices.fetch(self.kept["count"]).astype(np.int32), len(stopped))
        if self.task.recorder.stops:
            plan, last = self.plan, np.where(stopped >= 0, stopped, diverged)
            until = plan.marks_by(last - plan.start) - plan.marks_by(np.asarray(plan.burn_in))
            count = np.where(last >= 0, np.maximum(until, 0), count).astype(np.int32)
            if self.over:  # how far the last chunk went on is chance
                kept = max(1, int((steps <= last.max()).sum()))
                record, steps = {name: values[:kept] for name, values in record.items()}, steps[:kept]
        sums, merged = self.layout.to_host(self.kept["moments"]), _devices.fetch(self.kept["merged"])
        return Outcome(
            state=self.state,
            diverged=diverged,
            stopped=stopped,
            count=count,
            moments={
                name: whole(block, sums["mean"][name], sums["square"][name], merged, count)
                for name, block in self.layout.to_host(self.kept["block"]).items()
            },
            record=record,
            record_steps=steps,
            histograms=self.counts,
        )

    def _diverged_at_all(self) -> np.ndarray:
        """Per chain where it diverged, the end included."""
        # the last steps may lie beyond the last sample, and their end is what `samples` hands out
        end = np.int32(self.plan.start + self.done)
        diverged, lost = _or_at_end(self.kept["diverged"], self.state.theta, end)
        if self.many and int(lost) == self.padding:
            return never(self.layout.chains)
        return np.asarray(self.layout.to_host(diverged))


@eqx.filter_jit
def _or_at_end(diverged: Int[Array, " chains"], theta: PyTree, end: Any) -> tuple[Array, Array]:
    """The step at which each chain diverged, `end` for one that is only seen there; and how many did."""
    diverged = jnp.where(~_tree.finite_chains(theta) & (diverged < 0), end, diverged)
    return diverged, (diverged >= 0).sum()


@jax.jit
def _counted(diverged: Int[Array, " chains"], stopped: Int[Array, " chains"]) -> Int[Array, "2"]:
    """How many have diverged, and how many have diverged or stopped."""
    return jnp.stack([(diverged >= 0).sum(), ((diverged >= 0) | (stopped >= 0)).sum()])


@jax.jit
def _copied(tree: PyTree) -> PyTree:
    return jax.tree.map(jnp.copy, tree)


def next_block(done: int, steps: int, every: int, pace: float, capacity: int) -> tuple[int, int, bool]:
    """Steps per sample, samples, and whether they are kept, for about `pace` steps of work.

    Samples lie at multiples of `every`. Work that takes long is cut in the middle of a sample
    too, so that a bar can move and Ctrl-C is heard; such a cut is not a sample.
    """
    to_sample = every - done % every
    left = steps - done
    if to_sample > left:
        return min(left, max(1, int(pace))), 1, False
    if to_sample < every or pace < every:
        block = min(to_sample, max(1, int(pace)))
        return block, 1, block == to_sample
    return every, min(left // every, capacity, int(pace // every)), True
