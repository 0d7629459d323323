"""What the cards run on."""

import jax

import sde_sgd as ss


def device() -> str:
    """In a few words: "2 x AMD EPYC (cpu)"."""
    first = jax.devices()[0]
    return f"{jax.device_count()} x {ss.device_name(first)} ({first.platform})"
