"""Runs cards one after the other; what is finished is kept, what raises spoils no other."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

import sde_sgd as ss
from paper_checks._card import Card
from paper_checks._context import Context, Laws, folded
from paper_checks._device import device
from paper_checks._fingerprint import fingerprint
from paper_checks._record import Record, failed, load, recorded, save


def run_cards(
    cards: Sequence[Card],
    *,
    scale: str,
    seed: int,
    out: Path,
    data: Path | None = None,
    laws: Laws | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> list[Record]:
    """Run cards, or take them from `out` where they were finished with the same settings and source.

    A card is written to `out/cards` as soon as it is finished. Its runs save in `out/checkpoints`
    (not at smoke scale) until then, so that a stopped check goes on where it was. A check that
    raises becomes a record with the traceback, and is tried again the next time.

    Args:
        cards: to run, in this order.
        scale: "smoke", "quick" or "full".
        seed: of all random numbers; every card has its own from it.
        out: folder for what is finished.
        data: the user's directory of data sets, used at full.
        laws: under test, by default those of the library.
        announce: told what is going on, line by line.

    Returns:
        One record for each card.
    """
    laws = Laws() if laws is None else laws
    shared: dict[str, ss.SweepResult] = {}
    records = []
    for number, card in enumerate(cards, 1):
        mark = fingerprint(card, scale, seed, laws, data)
        record = load(out / "cards", card.id, mark)
        known = record is not None
        if record is None:
            announce(f"[{number}/{len(cards)}] {card.id} …")
            record = _run(card, mark, scale, seed, out, data, laws, shared)
        how = "finished before" if known else f"{record.seconds:.1f} s"
        announce(f"[{number}/{len(cards)}] {card.id}: {record.verdict} ({how})")
        records.append(record)
    return records


def _run(
    card: Card,
    mark: str,
    scale: str,
    seed: int,
    out: Path,
    data: Path | None,
    laws: Laws,
    shared: dict[str, ss.SweepResult],
) -> Record:
    # the fingerprint is part of the name, so that a changed card does not meet its old checkpoints
    saved = out / "checkpoints" / card.id / mark
    for old in set(saved.parent.glob("*")) - {saved}:
        shutil.rmtree(old)
    key = folded(jax.random.key(seed), card.id)
    checkpoints = None if scale == "smoke" else saved
    seed_key = jax.random.key(seed)
    context = Context(scale, key, laws, checkpoints, seed_key=seed_key, shared=shared, data=data)
    started = time.perf_counter()
    try:
        outcome = card.check(context)
        record = recorded(card, mark, outcome, time.perf_counter() - started, device())
    except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the report
        return failed(card, mark, error, time.perf_counter() - started, device())
    save(record, out / "cards")
    shutil.rmtree(saved.parent, ignore_errors=True)
    return record
