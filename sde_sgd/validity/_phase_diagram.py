"""Where in the plane of η and B the η/B invariance holds, and where it breaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
from jaxtyping import Array, Key

from sde_sgd import _checks
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Observable
from sde_sgd.curvature._observables import Sharpness
from sde_sgd.problems._base import Problem
from sde_sgd.processes._sgd import SGD
from sde_sgd.simulation._making import MakeProcess
from sde_sgd.simulation._sweep import sweep
from sde_sgd.simulation._sweep_result import SweepResult
from sde_sgd.validity import _panels

if TYPE_CHECKING:
    import xarray as xr

_LEVEL = 0.01


@dataclass(frozen=True, repr=False)
class PhaseDiagram(Shown):
    """Runs over (η, B), each against the run of equal η/B with the smallest η.

    Attributes:
        result: the `SweepResult`, with all that was recorded.
        observable: what was compared.
        deviation: dims (learning_rate, batch_size): mean less the mean of the reference, in units of the
            pooled standard deviation over seeds; 0 for references, NaN where fewer than 3 runs have a
            value and for ratios of which there is only one cell.
        error: its standard error, with seeds of different settings taken for independent: where they share
            starting points it is too large, and fewer cells are decided.
        freedom: its degrees of freedom, n + m − 2 for n values in the cell and m in its reference.
        reference: where the cell is itself a reference.
        steepness: ηλ₁/(1 + m) at the end, mean over seeds.
        limit: deviations up to this count as the same.
        diverged: runs of the cell that diverged.
        not_finite: runs that did not, while their observable is not finite at the end.
    """

    result: SweepResult
    observable: str
    deviation: "xr.DataArray"
    error: "xr.DataArray"
    freedom: "xr.DataArray"
    reference: "xr.DataArray"
    steepness: "xr.DataArray"
    limit: float
    diverged: "xr.DataArray"
    not_finite: "xr.DataArray"

    @property
    def breaks(self) -> "xr.DataArray":
        """Where the invariance fails: all runs diverged, or |deviation| is beyond the limit.

        Beyond it means by a one-sided test, at a level of 1 % for all cells together (Bonferroni).
        """
        return (abs(self.deviation) - self._beyond > self.limit) | self._lost

    @property
    def holds(self) -> "xr.DataArray":
        """Where it is shown to hold: |deviation| is below the limit, by the same test.

        Never on the word of survivors: if a run of the cell or of its reference diverged or has no finite
        value, what is left is not the law, and the cell is undecided where it does not break.
        """
        whole = (self.diverged + self.not_finite == 0) & self._reference_whole
        return self._compared & whole & (abs(self.deviation) + self._beyond < self.limit)

    @property
    def undecided(self) -> "xr.DataArray":
        """Settings beside their reference that neither hold nor break."""
        return self._settings & ~self.holds & ~self.breaks

    @property
    def _beyond(self) -> "xr.DataArray":
        """How far a deviation must be from the limit to be told from it, by Student's t."""
        level = _LEVEL / max(1, int(self._compared.sum()))
        return self.error * self.error.copy(data=scipy.stats.t.isf(level, self.freedom.values))

    @property
    def _lost(self) -> "xr.DataArray":
        """Where all runs diverged."""
        return self.diverged == self.result.dataset.sizes["seed"]

    @property
    def _settings(self) -> "xr.DataArray":
        """Cells with another of their ratio that was there before them."""
        shared = [(self._ratios == ratio).sum() > 1 for ratio in self._ratios.ravel()]
        return self.reference.copy(data=np.reshape(shared, self._ratios.shape)) & ~self.reference

    @property
    def _reference_whole(self) -> "xr.DataArray":
        """Where the cell's reference has lost no run."""
        lost = (self.diverged + self.not_finite).values
        broken = self._ratios[self.reference.values & (lost > 0)]
        return self.reference.copy(data=~np.isin(self._ratios, broken))

    @property
    def _ratios(self) -> np.ndarray:
        rates, sizes = (self.deviation[name].values for name in ("learning_rate", "batch_size"))
        return _rounded(np.divide.outer(rates.astype(float), sizes))

    @property
    def _compared(self) -> "xr.DataArray":
        return self.deviation.notnull() & ~self.reference & ~self._lost

    def __repr__(self) -> str:
        counts = ((getattr(self, name).sum(), name) for name in ("holds", "breaks", "undecided"))
        settings = ", ".join(f"{int(count)} {name}" for count, name in counts)
        axes = f"{self.deviation.sizes['learning_rate']} x {self.deviation.sizes['batch_size']} settings"
        return f"PhaseDiagram({self.observable!r}, {axes}: {settings}; limit {self.limit:g} seed SD)"

    def _panel(self) -> Panel:
        return _panels.of_diagram(self)

    def __str__(self) -> str:
        broken, holding, settings = self.breaks, self.holds, self._settings
        lost, broken = self._lost & settings, broken & settings
        head = (
            f"η/B invariance of {self.observable!r}, {self.result.dataset.sizes['seed']} seeds: of "
            f"{int(settings.sum())} settings beside the reference of their ratio, "
            f"{int(holding.sum())} hold within {self.limit:g} seed SD, {int(broken.sum())} break "
            f"({int(lost.sum())} of them diverged), {int(self.undecided.sum())} are undecided"
        )
        lines = [head]
        partly = (self.diverged + self.not_finite > 0) & ~self._lost
        if bool(partly.any()):
            lines.append(
                f"  {int(partly.sum())} settings have lost some of their runs ("
                f"{int(self.diverged.where(partly).sum())} diverged, "
                f"{int(self.not_finite.where(partly).sum())} are not finite): "
                f"they, and those held against them, do not count as holding"
            )
        for what, where in (("holds", holding), ("breaks", broken & ~self._lost)):
            if bool(where.any()):
                rates = self.deviation["learning_rate"].broadcast_like(self.deviation).where(where)
                steep = self.steepness.where(where)
                lines.append(
                    f"  {what:6} for η in [{float(rates.min()):.3g}, {float(rates.max()):.3g}], "
                    f"ηλ₁/(1 + m) in [{float(steep.min()):.2g}, {float(steep.max()):.2g}]"
                )
        return "\n".join(lines)


def phase_diagram(
    problem: Problem,
    *,
    learning_rate: Sequence[float],
    batch_size: Sequence[int],
    key: Key[Array, ""],
    momentum: float = 0.0,
    seeds: int = 16,
    epochs: float | None = None,
    time: float | None = None,
    observable: Observable | str = "loss",
    limit: float = 2.0,
    process: MakeProcess = SGD,
    **options: Any,
) -> PhaseDiagram:
    """Sweep SGD over η × B and compare the runs of equal η/B at their ends.

    At equal epochs, runs of equal η/B have gone the same SDE time ηk, so by the SDE they end with the
    same law. One compiled program for each batch size.

    Args:
        problem: with a data set if `epochs` is given.
        learning_rate, batch_size: the axes, rising; ratios must meet, as powers of 2 do.
        key: of all random numbers.
        momentum: one number for all.
        seeds: runs of each setting, at least 3.
        epochs, time: how long, one of the two.
        observable: the name of a method of the problem, or a function of one chain's parameters. Runs where
            it is not finite at the end are counted apart, and their setting does not count as holding.
        limit: of the deviation, in standard deviations over seeds.
        process: what makes the process from (problem, hyper), such as `SGD`.
        **options: to `sweep`: `checkpoint`, `resume`, `devices` …

    Returns:
        `PhaseDiagram`. Print it, or draw it with `plot.phase_diagram`.

    Raises:
        ValueError: for too few seeds, or if no two settings have a ratio in common.
    """
    seeds = _checks.integer("seeds", seeds, at_least=3)
    _checks.number("limit", limit, above=0)
    if (epochs is None) == (time is None):
        raise ValueError(f"give one of epochs and time, got epochs={epochs!r} and time={time!r}.")
    if options.get("part") is not None:
        raise ValueError(
            f"part must be left out, got {_checks.short(options['part'])}: a diagram compares the runs of a "
            f"whole sweep."
        )
    rates, sizes = np.asarray(learning_rate, float), np.asarray(batch_size)
    if rates.ndim != 1 or sizes.ndim != 1:
        raise ValueError("learning_rate and batch_size must be lists, one axis of the diagram each.")
    ratios = _rounded(np.divide.outer(rates, sizes))
    if len(np.unique(ratios)) == ratios.size:
        raise ValueError(
            f"learning_rate {rates.tolist()} and batch_size {sizes.tolist()} have no ratio η/B in common "
            f"between two settings; give both as powers of the same number."
        )
    name = observable if isinstance(observable, str) else getattr(observable, "__name__", "observable")
    result: SweepResult = sweep(
        process,
        problem,
        learning_rate=rates.tolist(),
        batch_size=sizes.tolist(),
        momentum=momentum,
        seeds=seeds,
        epochs=epochs,
        time=time,
        record={name: observable, "λ₁": Sharpness(problem)},
        key=key,
        **options,
    )
    clock = "time" if epochs is None else "epoch"
    end = result.dataset.isel({clock: -1})[[name, "λ₁", "diverged_at"]]
    end = end.transpose("learning_rate", "batch_size", "seed")
    alive = end["diverged_at"] < 0
    finite = alive & np.isfinite(end[name])
    values = end[name].where(finite)
    count = finite.sum("seed")
    mean, variance = values.mean("seed"), values.var("seed", ddof=1)
    deviation, error, freedom = (np.full(ratios.shape, np.nan) for _ in range(3))
    reference = np.zeros(ratios.shape, bool)
    for ratio in np.unique(ratios):
        cells = [tuple(cell) for cell in np.argwhere(ratios == ratio)]
        first = min((cell for cell in cells if count.values[cell] >= 3), default=None)
        if first is None or len(cells) < 2:
            continue
        reference[first] = True
        for cell in cells:
            n, m = int(count.values[cell]), int(count.values[first])
            if n < 3:
                continue
            gap = mean.values[cell] - mean.values[first]
            pooled = np.sqrt((variance.values[cell] + variance.values[first]) / 2)
            freedom[cell] = n + m - 2
            if pooled == 0:
                deviation[cell], error[cell] = (0.0 if gap == 0 else np.copysign(np.inf, gap)), 0.0
                continue
            deviation[cell] = gap / pooled
            error[cell] = np.sqrt(variance.values[cell] / n + variance.values[first] / m) / pooled
        deviation[first], error[first] = 0.0, 0.0
    steepness = (end["λ₁"].where(alive).mean("seed") * end["learning_rate"]) / (1 + float(momentum))
    diverged, not_finite = (~alive).sum("seed"), (alive & ~finite).sum("seed")

    def like(table: np.ndarray) -> "xr.DataArray":
        return mean.copy(data=table)

    return PhaseDiagram(
        result=result,
        observable=name,
        deviation=like(deviation),
        error=like(error),
        freedom=like(freedom),
        reference=like(reference),
        steepness=steepness,
        limit=float(limit),
        diverged=diverged,
        not_finite=not_finite,
    )


def _rounded(ratios: np.ndarray) -> np.ndarray:
    """Equal ratios as equal numbers: to 8 digits."""
    digits = 8 - np.ceil(np.log10(ratios)).astype(int)
    result: np.ndarray = np.vectorize(round)(ratios, digits)
    return result
