"""The page of the paper checks: all is in it, nothing runs that should not; and the README's table."""

import base64
import dataclasses
import hashlib
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers import refused
from made_up_cards import card, outcome

from paper_checks import page as page_module
from paper_checks import readme
from paper_checks._card import Paper
from paper_checks._record import from_json, load, recorded, save, to_json
from paper_checks._report import figure_of, report, setting_of

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def records():
    verdicts = {
        "b": outcome(True),
        "c": outcome(False),
        "a": outcome(True, False),
        "d": outcome(True, control=True),
    }
    papers = {"a": "p", "b": "q", "c": "p", "d": "q"}
    return [
        recorded(card(name, paper=Paper(papers[name], "Title", "Who")), "mark", found, 12.0, "a machine")
        for name, found in verdicts.items()
    ]


def test_the_page_holds_all_it_needs(records):
    page = report(records, "a & b")
    assert not re.findall(r"https?://|//[a-z]+\.[a-z]+/|@import|url\(", page)
    links = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert links and all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert 'name="viewport"' in page and "a &amp; b" in page and "some &lt;text&gt;" in page
    for word in ("reproduced", "partly", "not reproduced", "not tested at this scale", "did not fail"):
        assert word in page
    assert figure_of(page, "c") == records[1].figure
    with refused(match="no picture of 'z', but of b, c, a, d"):
        figure_of(page, "z")


HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&lt;${x} javascript:"


def hostile(record):
    """The record with such words in every text of it."""
    texts = {name: HOSTILE + name for name in record.card}
    bad = [
        dataclasses.replace(one, name=HOSTILE, threshold=HOSTILE)
        for one in (*record.measurements, record.control)
    ]
    return dataclasses.replace(
        record,
        card=texts,
        summary=HOSTILE,
        device=HOSTILE,
        error=HOSTILE,
        measurements=tuple(bad[:-1]),
        control=bad[-1],
    )


class Reader(HTMLParser):
    """Tags and attributes as a browser finds them."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def test_no_text_of_a_record_becomes_a_tag_or_ends_an_attribute(records):
    good, bad = (Reader(report(some, "a setting")) for some in (records, [hostile(one) for one in records]))
    bad_setting = Reader(report(records, HOSTILE))
    assert [tag for tag, _ in bad_setting.tags] == [tag for tag, _ in good.tags]
    errors = len(records)
    assert [tag for tag, _ in bad.tags if tag != "pre"] == [tag for tag, _ in good.tags]
    assert sum(tag == "pre" for tag, _ in bad.tags) == errors
    names = {name for _, attributes in good.tags for name in attributes}
    assert {name for _, attributes in bad.tags for name in attributes} <= names
    links = [
        value for _, attributes in bad.tags for name in ("href", "src") if (value := attributes.get(name))
    ]
    assert links and all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    articles = [attributes["id"] for tag, attributes in bad.tags if tag == "article"]
    assert articles == [HOSTILE + "id"] * 4
    page = report([hostile(records[0])], "")
    assert figure_of(page, HOSTILE + "id") == records[0].figure


def test_a_browser_may_run_the_script_of_the_page_and_nothing_else(records):
    page = report(records, "setting")
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page).group(1)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:" and "unsafe" not in policy
    for name in ("style", "script"):
        (text,) = re.findall(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"
    # nothing that such a policy forbids is needed
    assert not any("style" in attributes for _, attributes in Reader(page).tags)
    # and it comes before all that it is for
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_the_committed_page_is_the_one_of_its_records():
    """It is written anew by `python -m paper_checks.page`."""
    folder = ROOT / "paper_checks" / "results"
    content = json.loads((folder / "report.json").read_text())
    page = (folder / "report.html").read_text()
    made = [from_json(entry, figure_of(page, entry["card"]["id"])) for entry in content["cards"]]
    assert report(made, setting_of(content)) == page


def test_a_page_is_written_anew_from_its_records_and_pictures(records, tmp_path, capsys):
    content = {"scale": "quick", "seed": 3, "seconds": 610.0, "device": "a machine", "versions": {"jax": "1"}}
    content["cards"] = [to_json(record) for record in records]
    (tmp_path / "report.json").write_text(json.dumps(content))
    first = report(records, setting_of(content))
    (tmp_path / "report.html").write_text(first.replace("<title>", "<title>Old "))
    page_module.main(["--report", str(tmp_path)])
    assert (tmp_path / "report.html").read_text() == first
    content["cards"][0]["card"]["id"] = "<b>"
    (tmp_path / "report.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        page_module.main(["--report", str(tmp_path)])
    assert "id of a card must be lower-case letters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["card"].update(id="<b>"), "id of a card must be"),
        (lambda content: content["card"].update(paper='"'), "paper of a card must be"),
        (lambda content: content["card"].update(claim=["<b>"]), "claim of a card must be text"),
        (lambda content: content.update(device=1), "device of a card must be text"),
        (lambda content: content.update(summary=None), "summary of a card must be text"),
        (lambda content: content.update(verdict="<b>"), "verdict of b must be one of"),
        (lambda content: content.update(seconds="<b>"), "seconds of b must be a number"),
        (lambda content: content.update(control_failed="<b>"), "control_failed true or false"),
        (lambda content: content["measurements"][0].update(name=1), "name and threshold of a measurement"),
        (lambda content: content["measurements"][0].update(met="<b>"), "met and n of a measurement"),
        (lambda content: content["control"].update(n="<b>"), "met and n of a measurement"),
        (lambda content: content["control"].update(p="<b>"), "could not convert"),
    ],
)
def test_a_record_edited_by_hand_is_not_taken(records, tmp_path, change, message):
    save(records[0], tmp_path)
    content = to_json(records[0])
    assert load(tmp_path, "b", "mark") is not None
    change(content)
    with refused(match=message):
        from_json(content)
    (tmp_path / "b.json").write_text(json.dumps(content))
    assert load(tmp_path, "b", "mark") is None


def test_a_record_of_another_card_is_not_taken(records, tmp_path):
    save(records[0], tmp_path)
    (tmp_path / "c.json").write_bytes((tmp_path / "b.json").read_bytes())
    assert load(tmp_path, "c", "mark") is None


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_the_page_in_a_browser(records, tmp_path):
    """No sideways scrolling at the width of a phone, and columns sort rows and cards alike."""
    page = report(records, "setting")
    script = """<script>
    const all = (what, name) => [...document.querySelectorAll(what)].map(name).join("");
    const seen = () => all("#cards tbody tr", (row) => row.dataset.card);
    const cards = () => all("article", (card) => card.id);
    const buttons = document.querySelectorAll("th button"), orders = [seen()];
    for (const button of [buttons[0], buttons[1], buttons[1], buttons[2]]) {
      button.click(); orders.push(seen() + (seen() === cards() ? "" : "!"));
    }
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
    parent.document.title = [innerWidth, document.documentElement.scrollWidth, ...orders].join(" ");
    </script>"""
    # the page allows its own script only, and here this one too
    text = script.removeprefix("<script>").removesuffix("</script>")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    page = page.replace("script-src ", f"script-src 'sha256-{digest}' ")
    inside = html.escape(page.replace("</body>", f"{script}</body>"), quote=True)
    path = tmp_path / "page.html"
    # a browser without a screen may refuse a window this narrow
    path.write_text(f'<iframe style="width: 390px; border: 0" srcdoc="{inside}"></iframe>', encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'user'}",
    ]
    command += ["--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    width, scroll, *orders = re.search(r"<title>(.*?)</title>", done.stdout).group(1).split()
    assert int(scroll) <= int(width) == 390
    assert orders == ["bcad", "abcd", "bacd", "dcab", "cadb"]


def test_the_readme_and_the_page_are_written_from_the_report(records, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    content = {"scale": "quick", "seed": 3, "seconds": 610.0, "device": "a machine"}
    content["cards"] = [to_json(record) for record in records]
    (out / "report.json").write_text(json.dumps(content))
    (out / "report.html").write_text(report(records, "setting"))
    (tmp_path / "docs").mkdir()
    page, table, figure = (tmp_path / name for name in ("README.md", "docs/claims.md", "docs/picture.png"))
    for file in (page, table):
        file.write_text(f"# Title\n\n{readme.BEGIN}\nstale\n{readme.END}\n\nEnd.\n")
    files = {"--report": out, "--readme": page, "--page": table, "--figure": figure}
    arguments = [str(one) for pair in files.items() for one in pair] + ["--picture", "a"]
    readme.main(arguments)
    texts = [page.read_text(), table.read_text()]
    for text in texts:
        assert text.startswith("# Title\n\n") and text.endswith("\n\nEnd.\n") and "stale" not in text
    short, long = texts
    row = "| **a**: a claim | some &lt;text> | ◐ partly | a number: 1.50 ± 0.10 | failed, as it must |"
    assert row in long and row not in short
    assert "did not fail: this proves nothing" in long
    assert "](picture.png)" in long and "](../out/report.html)" in long and "10 minutes" in long
    assert "](docs/picture.png)" in short and "](docs/claims.md)" in short
    assert (
        "Of 4 claims: 1 reproduced, 1 partly, 1 not reproduced, 1 not tested at this scale; 3 of them"
        in short
    )
    assert "- **c**: a claim (a number: 1.50 ± 0.10)" in short and "**b**" not in short
    assert figure.read_bytes() == records[2].figure
    readme.main(arguments)
    assert [page.read_text(), table.read_text()] == texts
    for file, text in zip((page, table), texts, strict=True):
        file.write_text("# Title\n")
        with pytest.raises(SystemExit):
            readme.main(arguments)
        assert f"{file.name} must hold the lines <!-- paper-checks -->" in capsys.readouterr().err
        file.write_text(text)


def test_readme_and_page_are_those_of_the_report(tmp_path):
    """They are written anew by `python -m paper_checks.readme`."""
    for name in ("README.md", "docs/claims.md", "docs/figures/paper_checks.png", "paper_checks/results"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    folder = tmp_path / "docs"
    files = {
        "--report": tmp_path / "paper_checks" / "results",
        "--readme": tmp_path / "README.md",
        "--page": folder / "claims.md",
        "--figure": folder / "figures" / "paper_checks.png",
    }
    readme.main([str(one) for pair in files.items() for one in pair])
    for file in (files["--readme"], files["--page"], files["--figure"]):
        assert file.read_bytes() == (ROOT / file.relative_to(tmp_path)).read_bytes(), file.name
