"""The table of what was caught."""

from collections.abc import Mapping, Sequence

from planted._fault import Fault
from planted._runner import Verdict

WANTED = 0.98


def share(faults: Sequence[Fault], verdicts: Mapping[str, Verdict]) -> float:
    """The part that was caught of those that can be."""
    able = [fault for fault in faults if verdicts[fault.name].status != "equivalent"]
    caught = sum(verdicts[fault.name].status == "caught" for fault in able)
    return caught / len(able) if able else 1.0


def complaints(faults: Sequence[Fault], verdicts: Mapping[str, Verdict]) -> list[str]:
    """What must be mended, in words."""
    found = []
    for fault in faults:
        verdict = verdicts[fault.name]
        if verdict.status == "caught" and fault.equivalent:
            found.append(f"{fault.name!r} is marked as equivalent, but {verdict.by} tells it")
        elif verdict.status not in ("caught", "equivalent"):
            more = f": {verdict.message}" if verdict.message else ""
            found.append(f"{fault.name!r} {verdict.status}{more}")
    return found


def sound(faults: Sequence[Fault], verdicts: Mapping[str, Verdict]) -> bool:
    """Whether enough were caught, and every fault still is one."""
    states = {verdict.status for verdict in verdicts.values()}
    false_marks = any(fault.equivalent and verdicts[fault.name].status == "caught" for fault in faults)
    stale = states & {"out of date", "unfounded", "broken", "timed out"}
    return share(faults, verdicts) >= WANTED and not stale and not false_marks


def summary(faults: Sequence[Fault], verdicts: Mapping[str, Verdict]) -> list[tuple[str, int, int, int]]:
    """For every folder: planted, caught, equivalent."""
    rows = []
    for folder in sorted({fault.folder for fault in faults}):
        states = [verdicts[fault.name].status for fault in faults if fault.folder == folder]
        rows.append((folder, len(states), states.count("caught"), states.count("equivalent")))
    rows.append(("all", *(sum(row[i] for row in rows) for i in (1, 2, 3))))
    return rows


def text(faults: Sequence[Fault], verdicts: Mapping[str, Verdict]) -> str:
    """The summary for a terminal."""
    lines = [f"{'folder':32s} planted  caught  equivalent"]
    for folder, planted, caught, equivalent in summary(faults, verdicts):
        lines.append(f"{folder:32s} {planted:7d} {caught:7d} {equivalent:11d}")
    lines.append(f"{100 * share(faults, verdicts):.1f} % of those that a test can tell")
    return "\n".join([*lines, *complaints(faults, verdicts)])


def markdown(faults: Sequence[Fault], verdicts: Mapping[str, Verdict]) -> str:
    """The summary and the list of all faults, for the documentation."""
    lines = [
        "# Planted faults",
        "",
        "What a careless colleague would write, planted in a copy of the package one at a time; the tests",
        "named must fail. Made by `make planted`. Where to plant was drawn from all statements of the",
        "package (`--draw 150 --seed 9`); to these come the formulae of every file, and what once survived.",
        "",
        "| folder | planted | caught | equivalent |",
        "|---|---:|---:|---:|",
    ]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in summary(faults, verdicts)]
    lines += ["", f"{100 * share(faults, verdicts):.1f} % of those that a test can tell apart were caught."]
    for folder in sorted({fault.folder for fault in faults}):
        lines += ["", f"## {folder}", "", "| file | fault | caught by |", "|---|---|---|"]
        for fault in sorted(faults, key=lambda fault: fault.file):
            if fault.folder == folder:
                verdict = verdicts[fault.name]
                by = f"`{verdict.by}`" if verdict.by else f"**{verdict.status}**"
                if verdict.status == "equivalent":
                    by = f"equivalent: {fault.equivalent}"
                cells = [f"`{fault.file.removeprefix('sde_sgd/')}`", fault.name, by]
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
