"""What is said to whoever looks: once for each call, so by the first host alone."""

import logging
import warnings

import jax


def is_first_host() -> bool:
    """Whether this process speaks: of several hosts that do the same work one does."""
    return jax.process_index() == 0


def warn(message: str, stacklevel: int) -> None:
    """A `UserWarning` of the caller, or with `stacklevel` 2 of its caller, and so on; on the first host."""
    if is_first_host():
        warnings.warn(message, stacklevel=stacklevel + 1)


log = logging.getLogger("sde_sgd")
# on the logger, which all modules share by its name: none of them needs to know of hosts
log.addFilter(lambda _record: is_first_host())
