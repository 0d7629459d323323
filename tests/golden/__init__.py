"""Values of every process, statistic, theory and curvature, kept so that a change in them is seen."""

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy

KEPT = Path(__file__).with_name("values.json")
# of each array so many values are kept beside the digest of all, in equal distances
_SHOWN = 6
# what another processor or release of XLA may change one by, as a share of the largest of its array, and what
# is rounding alone, such as a residual
_NEAR, _ROUNDING = 2e-3, 1e-4


def machine() -> dict[str, str]:
    """What sets the last bits."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    about = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    # processors of one name may have other vector units, of which libraries take the widest
    flags = hashlib.sha256(" ".join(sorted(about.get("flags", "").split())).encode()).hexdigest()[:16]
    libraries = {library.__name__: library.__version__ for library in (jax, np, scipy)}
    return {**libraries, "processor": about.get("model name") or platform.processor(), "flags": flags}


def taken() -> dict[str, dict[str, Any]]:
    """Name → digest and some of the numbers of each array, or the text."""
    from golden.cases import CASES

    found: dict[str, dict[str, Any]] = {}
    for name, case in CASES.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(case()):
            found[f"{name}{jax.tree_util.keystr(path)}"] = _entry(leaf)
    return found


def _entry(leaf: Any) -> dict[str, Any]:
    if isinstance(leaf, str):
        return {"text": leaf}
    values = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    flat = values.ravel()
    some = flat[np.linspace(0, len(flat) - 1, min(_SHOWN, len(flat))).astype(int)].astype(np.float64)
    return {
        "type": f"{values.dtype}{list(values.shape)}",
        "digest": hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=8).hexdigest(),
        "largest": float(np.abs(flat[np.isfinite(flat)].astype(np.float64)).max(initial=0.0)),
        "some": some.tolist(),
    }


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def compare(kept: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A line for each value that is not as it was: to the last bit on the same machine, else nearly."""
    same = kept["machine"] == now["machine"]
    lines = []
    for name in sorted({*kept["values"], *now["values"]}):
        old, new = (json.loads(json.dumps(each["values"].get(name))) for each in (kept, now))
        if old is None or new is None:
            lines.append(f"{name}: {'new' if old is None else 'gone'}")
        elif same:
            if str(old) != str(new):
                lines.append(f"{name}: {old} then, {new} now")
        elif "some" in old and not _near(old, new):
            lines.append(f"{name}: {old['some']} then, {new.get('some')} now")
    return lines


def _near(old: dict[str, Any], new: dict[str, Any]) -> bool:
    if old["type"] != new.get("type"):
        return False
    room = _NEAR * old["largest"] + _ROUNDING
    return bool(np.allclose(old["some"], new["some"], rtol=_NEAR, atol=room, equal_nan=True))
