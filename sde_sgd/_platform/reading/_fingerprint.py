"""What a run was set to, as text: to tell whether a checkpoint belongs to it."""

from collections.abc import Mapping
from typing import Any

from sde_sgd._platform.reading._reading import Reading

_UNSEEN = "not to be told: "


def fingerprint(value: Any, name: str) -> dict[str, str]:
    """Everything that sets a result, each under its own name: the path to it from `name`.

    Arrays are told apart by shape, dtype and a checksum of their bytes; functions by their code and what
    it reads: what they have closed over, defaults, globals, and the functions and classes among these;
    objects by their class and what they hold; what belongs to a library by its name and version.
    What does not show what it holds has a text that `check_told` refuses.
    """
    reading = Reading()
    reading.read(value, name)
    return {**reading.found, **{where: f"{_UNSEEN}{what}" for where, what in reading.unseen.items()}}


def check_told(config: Mapping[str, str], argument: str = "checkpoint") -> None:
    """Refuse a fingerprint of what cannot be told apart.

    Args:
        config: the fingerprint.
        argument: what needs it, as users gave it.

    Raises:
        ValueError: with its name, and what to give instead.
    """
    hidden = [f"{name} is {text.removeprefix(_UNSEEN)}" for name, text in config.items() if _UNSEEN in text]
    if hidden:
        more = f" (and {len(hidden) - 1} more)" if len(hidden) > 1 else ""
        raise ValueError(
            f"{argument}: {hidden[0]}{more}, so it could not be told whether a {argument} belongs to this "
            f"run. Give it numbers, text, arrays, functions or plain objects in its place, let its class say "
            f"by __getstate__ or __reduce__ what it holds, or leave {argument} away."
        )


def differences(
    here: Mapping[str, str],
    there: Mapping[str, str],
    places: tuple[str, str] = ("here", "in the checkpoint"),
) -> list[str]:
    """Lines that say what differs between two fingerprints, and which is whose by the `places` of both."""
    missing = "not set"
    return [
        f"{name} is {here.get(name, missing)} {places[0]}, {there.get(name, missing)} {places[1]}"
        for name in sorted({*here, *there})
        if here.get(name) != there.get(name)
    ]
