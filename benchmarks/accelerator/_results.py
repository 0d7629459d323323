"""What is kept and said of the steps."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks._environment import Environment
from benchmarks.accelerator._step import Report
from benchmarks.accelerator.speed import effort

ENDING = "-accelerator.json"
_UNKNOWN = "unknown-device"


def path(out: Path, reports: Sequence[Report]) -> Path:
    """DIR/<device>-jax-<version>.json, as the other results are named, once the device is known."""
    here = _environment(reports)
    return out / f"{_UNKNOWN if here is None else f'{here.slug}-jax-{here.jax}'}{ENDING}"


def write(out: Path, reports: Sequence[Report], *, smoke: bool) -> None:
    """Put down all that is known so far, in the form of the other results, with the steps beside the rows."""
    here = _environment(reports)
    rows = [asdict(row) for report in reports if report.found is not None for row in report.found.rows]
    content = {
        "environment": None if here is None else asdict(here),
        "effort": asdict(effort(smoke)),
        "smoke": smoke,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "rows": rows,
        "steps": [_without_rows(report) for report in reports],
    }
    file = path(out, reports)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    half = file.with_suffix(".part")
    half.write_text(text + "\n", encoding="utf-8")
    half.replace(file)
    if here is not None:
        (out / f"{_UNKNOWN}{ENDING}").unlink(missing_ok=True)


def told(report: Report) -> str:
    """One step in words."""
    right = None if report.found is None else report.found.right
    verdict = {None: "", True: ", right", False: ", WRONG"}[right]
    reason = f": {report.reason}" if report.reason else ""
    lines = () if report.found is None else report.found.lines
    head = f"{report.name}: {report.status}{verdict}{reason} ({report.seconds:.1f} s)"
    return "\n".join([head, *(f"  {line}" for line in lines)])


def summary(reports: Sequence[Report]) -> str:
    """How many steps went how, and what is wrong."""
    counts = Counter(report.status for report in reports)
    wrong = [report.name for report in reports if report.found is not None and report.found.right is False]
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{len(reports)} steps: {told}; wrong: {', '.join(wrong) or 'none'}"


def _environment(reports: Sequence[Report]) -> Environment | None:
    for report in reports:
        if report.found is not None and "environment" in report.found.facts:
            return Environment(**report.found.facts["environment"])
    return None


def _without_rows(report: Report) -> dict[str, Any]:
    content = report.as_json()
    if content["found"] is not None:
        del content["found"]["rows"]
    return content
