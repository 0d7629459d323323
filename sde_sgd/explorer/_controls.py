"""What can be moved, as both shells offer it."""

from dataclasses import dataclass, fields
from typing import Any

from sde_sgd.explorer._settings import BATCHES, FRESH, STARTS, WELLS, DigitsSettings, Settings, WellSettings
from sde_sgd.problems._noise import LAWS


@dataclass(frozen=True)
class Control:
    """One of them.

    Attributes:
        name: of the setting.
        label: what to call it.
        options: the values it takes.
        value: the one it begins with, that of the settings by default.
        is_slider: whether they are numbers in a row, and not names to choose from.
    """

    name: str
    label: str
    options: tuple[Any, ...]
    value: Any

    @property
    def is_slider(self) -> bool:
        """Numbers in a row, and not names."""
        return not isinstance(self.value, str)


_RATES = {
    WellSettings: (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4),
    DigitsSettings: (0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.4, 0.5, 0.6),
}
_MOMENTA = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9)
_TILTS = tuple(round(0.05 * place, 2) for place in range(-6, 7))
_OFFERED: dict[Any, dict[str, tuple[str, tuple[Any, ...]]]] = {
    WellSettings: {
        "well": ("well", WELLS),
        "tilt": ("tilt", _TILTS),
        "learning_rate": ("learning rate η", _RATES[WellSettings]),
        "batch_size": ("batch size B", (1, 2, 4, 8, 16, 32, 64)),
        "noise_variance": ("noise σ²", (0.5, 1.0, 2.0, 4.0, 8.0)),
        "momentum": ("momentum m", _MOMENTA),
        "noise_law": ("noise law", LAWS),
        "sampling": ("sampling", (FRESH, *BATCHES)),
        "chains": ("chains", (1024, 2048, 4096, 8192, 16384)),
        "time": ("time t", (5.0, 10.0, 20.0, 40.0, 80.0)),
        "start": ("start from", STARTS),
    },
    DigitsSettings: {
        "learning_rate": ("learning rate η", _RATES[DigitsSettings]),
        "batch_size": ("batch size B", (1, 2, 4, 8, 16, 32, 64)),
        "momentum": ("momentum m", _MOMENTA),
        "chains": ("chains", (256, 512, 1024, 2048, 4096)),
        "sampling": ("sampling", BATCHES),
    },
}
TABS: dict[str, type[Settings]] = {"wells": WellSettings, "digits": DigitsSettings}


def controls(kind: type[Settings]) -> list[Control]:
    """All of one kind of settings, in the order in which they are shown."""
    begin = {field.name: field.default for field in fields(kind)}
    return [Control(name, label, options, begin[name]) for name, (label, options) in _OFFERED[kind].items()]
