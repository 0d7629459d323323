"""The ways to draw batches, by name, and how many steps an epoch has in each."""

from typing import Any

SAMPLINGS: tuple[str, ...] = ("replacement", "subset", "shuffle", "shuffle_all")


def is_shuffled(sampling: str) -> bool:
    """Whether the examples are taken in an order that is new each epoch."""
    return sampling in ("shuffle", "shuffle_all")


def of(process: Any) -> str | None:
    """The sampling of a process, or None where it draws no batches."""
    found = getattr(process, "sampling", None)
    return found if isinstance(found, str) else None


def last_batch(batch_size: int, dataset_size: int) -> int:
    """The size r of the last of ⌈N/B⌉ batches: N mod B, or B where that is 0."""
    return dataset_size % batch_size or batch_size


def epoch(batch_size: Any, dataset_size: int, sampling: str | None = None) -> tuple[Any, Any]:
    """Steps in an epoch as a fraction: N/B, the same amount of data whatever B; or ⌈N/B⌉/1 where no
    example is left out.

    Args:
        batch_size, dataset_size: B and N.
        sampling: None for a process that draws no batches.
    """
    if sampling == "shuffle_all":
        return -(-dataset_size // batch_size), 1
    return dataset_size, batch_size
