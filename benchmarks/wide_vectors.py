"""What `sde_sgd.use_cpu` brings: vectors of 512 bits beside XLA's own, a device for each core beside one.

Both are fixed when a process makes its first array, so that each side of a comparison is a process of its
own; the two are timed in turn, round after round.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial

import jax

import sde_sgd as ss
from benchmarks import digits_mlp, double_well, random_numbers
from benchmarks._ensemble import runner
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Missing, Peer, compare
from benchmarks._workers import Workers, serve
from benchmarks.double_well_c import same_bits


def _wide() -> None:
    note = ss.use_cpu().note
    if note:
        raise Missing(note)


def _narrow() -> None:
    bits = ss.use_cpu(wide_vectors=False).vector_bits
    if bits is not None:
        raise Missing(f"XLA_FLAGS asks for {bits} bits, which use_cpu leaves as it is")


def _steps(make: Callable[[], ss.Process], chains: int) -> Contender:
    return Contender("sde_sgd", runner(make(), chains), chains)


MODULE = "benchmarks.wide_vectors"
WIDE, NARROW = "vectors of 512 bits", "vectors as XLA has them"
USE_CPU, NOTHING = "use_cpu()", "nothing set: one device"
SETTINGS: dict[str, Callable[[], object]] = {
    WIDE: _wide,
    NARROW: _narrow,
    USE_CPU: ss.use_cpu,
    NOTHING: lambda: None,
}
EULER_FEW, EULER = "Euler-Maruyama, 10^3 chains", "Euler-Maruyama, 10^5 chains"
# Euler-Maruyama → its chains, and the random numbers that it draws
CEILINGS = {
    EULER_FEW: (double_well.FEW, "random numbers, 10^3 a step"),
    EULER: (double_well.MANY, "random numbers, 10^5 a step"),
}
# work → its unit, and what makes it
WORK: dict[str, tuple[str, Callable[[], Contender]]] = {
    EULER_FEW: ("chain-steps", partial(_steps, double_well.process, double_well.FEW)),
    EULER: ("chain-steps", partial(_steps, double_well.process, double_well.MANY)),
    "two-point, 10^5 chains": (
        "chain-steps",
        partial(_steps, partial(double_well.process, "two_point"), double_well.MANY),
    ),
    "digits MLP, 64 seeds": ("steps", digits_mlp.ours),
    **{name: ("numbers", partial(random_numbers.ceiling, chains)) for chains, name in CEILINGS.values()},
}


def measure(effort: Effort) -> list[Row]:
    """Throughputs with wide vectors and without, then with all of `use_cpu` and without."""
    wide = beside("wide_vectors", list(WORK), WIDE, NARROW, effort)
    ceilings = [] if wide[-1].note else below_ceilings(effort)
    return [*wide, *ceilings, *beside("use_cpu", [EULER], USE_CPU, NOTHING, effort)]


def below_ceilings(effort: Effort) -> list[Row]:
    """Euler-Maruyama with wide vectors beside its random numbers alone, and beside C with the same bits."""
    rows: list[Row] = []
    with Workers(MODULE, [WIDE]) as one, Workers(MODULE, [WIDE]) as other:
        for work, (chains, numbers) in CEILINGS.items():
            name, unit = f"wide_vectors, ceilings, {work}", WORK[work][0]
            own, alone = one.contender(WIDE, work), other.contender(double_well.CEILING, numbers)
            by_hand = partial(same_bits, double_well.process(), chains, jax.random.key(0))
            peers = [
                Peer(double_well.CEILING, partial(list, [alone]), Target(0.9)),
                Peer("C + OpenMP (same bits)", by_hand, Target(0.75)),
            ]
            rows += compare(name, unit, own, peers, effort.long())
    return rows


def beside(name: str, works: Sequence[str], ours: str, theirs: str, effort: Effort) -> list[Row]:
    """The same work in two processes of different `SETTINGS`; one row if it cannot be done."""
    rows: list[Row] = []
    with Workers(MODULE, [ours]) as one, Workers(MODULE, [theirs]) as other:
        for work in works:
            unit, _ = WORK[work]
            try:
                own, peer = one.contender(ours, work), other.contender(theirs, work)
                against = Peer(theirs, partial(list, [peer]))
                rows += compare(f"{name}, {work}", unit, own, [against], effort)
            except Missing as reason:
                return [*rows, Row(f"{name}, {work}", ours, unit, note=str(reason))]
    return rows


def build(setting: str, work: str) -> Contender:
    """The work in this process, which is set so before its first array.

    Raises:
        Missing: if it cannot be.
    """
    SETTINGS[setting]()
    return WORK[work][1]()


if __name__ == "__main__":
    serve(partial(build, sys.argv[1]))
