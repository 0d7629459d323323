"""One HTML page with everything inside: no network, no other file."""

import base64
import hashlib
import html
import re
import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paper_checks._card import Measurement, Verdict
from paper_checks._record import ERROR, SYMBOLS, Record
from paper_checks._text import count, judged, p_value

TEMPLATE = Path(__file__).with_name("report.html")

_FACTS = {
    "place": "Where",
    "paper_setting": "The paper's setting",
    "our_setting": "Our setting",
    "statistic": "Statistic",
    "threshold": "Threshold",
    "reason": "Why this threshold",
    "control": "Control",
}


def report(records: Sequence[Record], setting: str) -> str:
    """The page.

    Args:
        records: in the order in which they are shown before anyone sorts.
        setting: one line on scale, seed, versions.
    """
    template = TEMPLATE.read_text(encoding="utf-8")
    page = string.Template(template)
    counted = Counter(record.verdict for record in records)
    order = [verdict for verdict in [*Verdict, ERROR] if counted[verdict]]
    return page.substitute(
        policy=_policy(template),
        counts=" ".join(f"{badge(verdict)} × {counted[verdict]} &nbsp;" for verdict in order),
        setting=_safe(setting),
        rows="\n".join(_row(record) for record in records),
        articles="\n".join(_article(record) for record in records),
    )


def setting_of(content: dict[str, Any]) -> str:
    """One line on scale, seed, device and versions, from what report.json holds."""
    libraries = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return (
        f"Scale {content['scale']}, seed {content['seed']}; {len(content['cards'])} cards in "
        f"{content['seconds']:.0f} s on {content['device']}; {libraries}."
    )


def figure_of(page: str, card_id: str) -> bytes:
    """The picture of a card, as PNG, out of a page that `report` made.

    Raises:
        ValueError: if the page has none of that card.
    """
    name = re.escape(_safe(card_id))
    found = re.search(rf'<img id="figure-{name}" [^>]*src="data:image/png;base64,([^"]+)"', page)
    if found is None:
        known = [html.unescape(one) for one in re.findall(r'<img id="figure-([^"]+)"', page)]
        raise ValueError(f"the report has no picture of {card_id!r}, but of {', '.join(known) or 'no card'}.")
    return base64.b64decode(found.group(1))


def badge(verdict: str) -> str:
    """The verdict with a sign and a colour; the words alone say it all."""
    return f'<span class="badge {_kind(verdict)}">{SYMBOLS[verdict]} {_safe(verdict)}</span>'


def _row(record: Record) -> str:
    main = "" if record.main is None else f"{record.main.name}: {record.main.value}"
    warning = "" if record.control is None or record.control_failed else _WARNING
    name, paper, data = (_safe(record.card[field]) for field in ("id", "paper", "data"))
    return (
        f'<tr data-card="{name}">'
        f'<td data-sort="{name}"><a href="#{name}">{name}</a></td>'
        f'<td data-sort="{record.rank}">{badge(record.verdict)}{warning}</td>'
        f'<td data-sort="{paper}">{paper}</td>'
        f'<td class="wide" data-sort="{data}">{data}</td>'
        f'<td class="wide">{_safe(main)}</td></tr>'
    )


_WARNING = ' <span class="warning">control did not fail</span>'


def _article(record: Record) -> str:
    facts = "".join(f"<dt>{title}</dt><dd>{_safe(record.card[name])}</dd>" for name, title in _FACTS.items())
    origin = (
        f"{record.card['paper_title']}; {record.card['source']}. {record.seconds:.1f} s on {record.device}."
    )
    parts = [
        f'<article id="{_safe(record.id)}" class="{_kind(record.verdict)}">',
        f"<h2>{_safe(record.id)} {badge(record.verdict)}</h2>",
        f"<p><strong>{_safe(record.card['claim'])}</strong></p>",
        f"<p>{_safe(record.summary)}</p>",
        _picture(record),
        _measurements(record),
        f"<details><summary>How it was tested</summary><dl>{facts}</dl></details>",
        f"<pre>{_safe(record.error)}</pre>" if record.error else "",
        f'<p class="small">{_safe(origin)}</p>',
        "</article>",
    ]
    return "\n".join(part for part in parts if part)


def _picture(record: Record) -> str:
    if record.figure is None:
        return ""
    data = base64.b64encode(record.figure).decode()
    text = _safe(f"{record.id}: {record.summary}")
    picture = f'<img id="figure-{_safe(record.id)}" alt="{text}" src="data:image/png;base64,{data}">'
    hint = '<p class="small narrow">The picture goes on to the right: move it sideways.</p>'
    return f'<div class="figure">{picture}</div>{hint}'


def _measurements(record: Record) -> str:
    if not record.measurements and record.control is None:
        return ""
    rows = [_measurement(one, judged(one)) for one in record.measurements]
    if record.control is not None:
        rows.append(_measurement(record.control, record.control_text, "Control: "))
    return (
        '<table class="measurements"><thead><tr><th>measured</th><th>estimate ± SE</th><th>n</th><th>p</th>'
        f"<th>threshold</th><th></th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _measurement(one: Measurement, result: str, title: str = "") -> str:
    cells = {
        "estimate ± SE": one.value,
        "n": count(one.n),
        "p": p_value(one.p),
        "threshold": one.threshold,
    }
    middle = "".join(
        f'<td data-name="{name}">{_safe(text)}</td>' if text else "<td></td>" for name, text in cells.items()
    )
    return f"<tr><td>{title}{_safe(one.name)}</td>{middle}<td><strong>{_safe(result)}</strong></td></tr>"


def _kind(verdict: str) -> str:
    """For the style sheet."""
    return _safe("not-tested" if verdict == Verdict.NOT_TESTED else verdict.replace(" ", "-"))


def _safe(text: object) -> str:
    """What a record says, as text only, between tags or inside the quotes of an attribute."""
    return html.escape(str(text), quote=True)


def _policy(template: str) -> str:
    """What a browser may do with the page: show its pictures, and follow this style and script only."""
    allowed = {
        "style-src": re.findall(r"<style>(.*?)</style>", template, re.DOTALL),
        "script-src": re.findall(r"<script>(.*?)</script>", template, re.DOTALL),
    }
    parts = ["default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    for name, texts in allowed.items():
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        parts.append(" ".join([name, *(f"'sha256-{digest}'" for digest in digests)]))
    return "; ".join(parts)
