"""Keeping compiled programs from one session to the next."""

from pathlib import Path

import jax

from sde_sgd import _checks
from sde_sgd._types import FilePath


def compilation_cache(directory: FilePath) -> Path:
    """Keep compiled programs in a folder, so that the next session need not compile them again.

    This sets JAX's own options `jax_compilation_cache_dir` (and that programs are kept however
    small and quickly compiled), for the whole process. Call it before the first run.

    Returns:
        The folder.

    Raises:
        ValueError: if it is no path, or that of a file.
    """
    folder = _checks.path("directory", directory).absolute()
    if folder.is_file():
        raise ValueError(f"directory must be a folder, got the file {str(directory)!r}.")
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder
