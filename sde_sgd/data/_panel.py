"""How a data set looks in a notebook: sizes, classes, and its first images where it has any."""

import base64
import math
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from sde_sgd._platform._html import GOOD, Panel
from sde_sgd._platform._shown import few, known

if TYPE_CHECKING:
    from sde_sgd.data._dataset import Dataset

_IMAGES, _SIDE, _COUNTED = 10, 64, 1_000_000
# names of flat inputs that are images
_FLAT = ("digits", "MNIST", "mnist", "EMNIST", "KMNIST")


def of_data(data: "Dataset") -> Panel:
    """Sizes, classes with their counts, images."""
    rows = {
        "training": f"{data.inputs.shape[0]} examples",
        "test": f"{data.test_inputs.shape[0]} examples",
        "input": f"{data.inputs.dtype}{list(data.inputs.shape[1:])}",
        "target": f"{data.targets.dtype}{list(data.targets.shape[1:])}",
    }
    if data.classes is not None:
        rows["classes"] = str(data.classes)
        labels = known(data.targets) if data.targets.size <= _COUNTED else None
        if labels is not None and data.classes <= 20:
            counts = np.bincount(labels.ravel(), minlength=data.classes)
            rows["of each"] = ", ".join(map(str, counts))
    picture = _pictures(data)
    return Panel("Dataset", data.name, rows, pictures=(picture,) if picture else (), colour=GOOD)


def _pictures(data: "Dataset") -> str:
    """Its first images side by side, as PNG."""
    shape = data.inputs.shape[1:]
    flat = len(shape) == 1 and math.isqrt(shape[0]) ** 2 == shape[0] >= 64
    if flat and any(word in data.name for word in _FLAT):
        shape = (math.isqrt(shape[0]),) * 2
    if len(shape) not in (2, 3) or max(shape[:2]) > _SIDE or min(shape[:2]) < 4:
        return ""
    if len(shape) == 3 and shape[2] not in (1, 3):
        return ""
    picked = few(data.inputs, _IMAGES)
    if picked is None:
        return ""
    images = picked[1][:_IMAGES].astype(float).reshape(-1, *shape)
    images = images if images.ndim == 4 else images[..., None]
    low, high = images.min(), images.max()
    grey: Any = np.uint8(np.round(255 * (images - low) / ((high - low) or 1)))
    line = np.full((shape[0], 1, grey.shape[-1]), 128, np.uint8)
    row = np.concatenate([grey[0], *(part for image in grey[1:] for part in (line, image))], axis=1)
    height = max(32, shape[0])
    code = base64.b64encode(_png(row)).decode()
    return (
        f'<img alt="{len(images)} of the training inputs" height="{height}" '
        f'style="image-rendering:pixelated" src="data:image/png;base64,{code}"/>'
    )


def _png(pixels: np.ndarray) -> bytes:
    """Grey levels or colours, shape `(height, width, 1 or 3)`, as a file."""
    height, width, channels = pixels.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    data = zlib.compress(lines.tobytes(), 9)
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
