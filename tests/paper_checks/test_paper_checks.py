"""The frame of the paper checks: verdicts, resuming, what is on record, the report, the README's table."""

import base64
import dataclasses
import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import jax
import pytest
from helpers import refused

import sde_sgd as ss
from paper_checks import _expected, _fingerprint, readme
from paper_checks import page as page_module
from paper_checks.__main__ import main
from paper_checks._card import Card, Measurement, Outcome, Paper, Verdict, decide
from paper_checks._context import Context, Laws, folded
from paper_checks._papers import CARDS, check_unique
from paper_checks._record import from_json, load, recorded, save, to_json
from paper_checks._report import figure_of, report, setting_of
from paper_checks._runner import run_cards

ROOT = Path(__file__).parents[2]
PAPER = Paper("made-up", "A title", "Somebody 2020, arXiv:0000.00000")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def measurement(met=True, **changes):
    kept = {"name": "a number", "estimate": 1.5, "threshold": "below 2", "met": met, "standard_error": 0.1}
    return Measurement(**(kept | changes))


def outcome(*met, control=False):
    figure, axes = ss.plot.figure()
    axes.plot([0, 1])
    parts = tuple(measurement(one) for one in met)
    return Outcome(parts, measurement(control), "It came out so.", figure)


def card(name="one", check=lambda _: outcome(True), paper=PAPER, **changes):
    texts = dict.fromkeys(
        ("place", "paper_setting", "our_setting", "statistic", "threshold", "reason", "control"),
        "some <text>",
    )
    return Card(id=name, paper=paper, check=check, **({"claim": "a claim"} | texts | changes))


@pytest.mark.parametrize(
    ("parts", "control_failed", "verdict"),
    [
        ([True, True], True, Verdict.REPRODUCED),
        ([True, False], True, Verdict.PARTLY),
        ([False, False], True, Verdict.NOT_REPRODUCED),
        ([True, True], False, Verdict.NOT_TESTED),
        ([True, False], False, Verdict.NOT_TESTED),
        ([False], False, Verdict.NOT_REPRODUCED),
        ([], True, Verdict.NOT_TESTED),
    ],
)
def test_verdicts(parts, control_failed, verdict):
    assert decide(parts, control_failed=control_failed) is verdict
    assert outcome(*parts, control=not control_failed).verdict is verdict


def test_what_only_informs_does_not_count():
    assert outcome(True, None).verdict is Verdict.REPRODUCED
    assert outcome(None).verdict is Verdict.NOT_TESTED
    assert Outcome.not_tested("needs a GPU").verdict is Verdict.NOT_TESTED


def test_a_test_without_a_control_is_refused():
    with refused(match="control must be given"):
        Outcome((measurement(),), None, "")
    with refused(match="control must be judged"):
        Outcome((measurement(),), measurement(None), "")


def test_cards_must_say_something_and_be_told_apart():
    with refused(match="id must be lower-case"):
        card("Two words")
    with refused(match="claim of card 'one' must say"):
        card(claim=" \n ")
    with refused(match="unique, got one"):
        check_unique([card(), card("two"), card()])
    assert card(claim="over\n        two lines ").claim == "over two lines"


@pytest.mark.parametrize(
    ("estimate", "error", "text"),
    [
        (1.23456, 0.0123, "1.235 ± 0.012"),
        (-0.5, 0.25, "−0.50 ± 0.25"),
        (1234.5, 67.0, "1234 ± 67"),
        (1e-9, 2e-10, "1e−09 ± 2e−10"),
        (0.25, None, "0.25"),
        (float("nan"), float("nan"), "nan"),
    ],
)
def test_numbers_are_written_to_the_digits_they_have(estimate, error, text):
    assert measurement(estimate=estimate, standard_error=error).value == text


def test_a_context_gives_each_card_and_name_its_own_numbers():
    context = Context("quick", folded(jax.random.key(0), "gibbs"))
    assert context.pick(smoke=1, quick=2, full=3) == 2
    keys = [context.key_for("a"), context.key_for("b"), folded(jax.random.key(0), "other")]
    assert len({jax.random.key_data(key).tobytes() for key in map(jax.device_get, keys)}) == 3
    assert context.key_for("a") == context.key_for("a")


def test_a_record_comes_back_as_it_was(tmp_path):
    found = outcome(True, False)
    found = dataclasses.replace(
        found, measurements=(*found.measurements, measurement(estimate=float("nan"), p=float("inf"), n=7))
    )
    record = recorded(card(), "mark", found, 1.5, "a machine")
    save(record, tmp_path)
    again = load(tmp_path, "one", "mark")
    assert repr(again) == repr(record) and again.figure == record.figure
    assert from_json(to_json(record)).rank == Verdict.PARTLY.rank
    assert load(tmp_path, "one", "another mark") is None
    (tmp_path / "one.json").write_text('{"half of')
    assert load(tmp_path, "one", "mark") is None
    assert not list(tmp_path.glob(".*"))


class Counted:
    """Checks that count how often they are called and may be told to stop."""

    def __init__(self, *names):
        self.calls = []
        self.stop_at = None
        self.cards = [card(name, self._check(name)) for name in names]

    def _check(self, name):
        def check(_):
            self.calls.append(name)
            if name == self.stop_at:
                raise KeyboardInterrupt
            return outcome(True)

        return check

    def run(self, out, *arguments):
        self.calls.clear()
        command = ["--scale", "smoke", "--out", str(out), *arguments]
        return main(command, cards=self.cards, expected=out / "expected.json")


def test_an_interrupted_run_goes_on(tmp_path, capsys):
    counted = Counted("one", "two", "three")
    counted.stop_at = "two"
    assert counted.run(tmp_path) == 130
    assert counted.calls == ["one", "two"] and not (tmp_path / "report.html").exists()
    counted.stop_at = None
    assert counted.run(tmp_path) == 0
    assert counted.calls == ["two", "three"]
    assert "one: reproduced (finished before)" in capsys.readouterr().out
    assert counted.run(tmp_path) == 0
    assert counted.calls == []


def test_a_changed_card_seed_or_law_is_run_again(tmp_path):
    counted = Counted("one")
    counted.run(tmp_path)
    assert counted.run(tmp_path, "--seed", "1") == 0
    assert counted.calls == ["one"]
    counted.cards[0] = dataclasses.replace(counted.cards[0], claim="another claim")
    counted.run(tmp_path, "--seed", "1")
    assert counted.calls == ["one"]
    first, second = (
        _fingerprint.fingerprint(counted.cards[0], "smoke", 0, laws)
        for laws in (Laws(), Laws(sgd=ss.Langevin))
    )
    assert first != second


def test_the_source_of_a_card_is_all_that_it_imports_of_the_package():
    gibbs = ROOT / "paper_checks" / "three_factors" / "gibbs.py"
    names = {path.name for path in _fingerprint.sources(gibbs)}
    assert names == {"gibbs.py", "_paper.py", "_card.py", "_context.py"}


def test_a_card_goes_on_inside(tmp_path, blocks):
    process = ss.SGD(ss.problems.Quadratic(), ss.Hyperparameters(0.1))
    stops = [KeyboardInterrupt, RuntimeError]
    found = []

    def check(context):
        for name in ("first", "second"):
            result = context.run(name, process, chains=8, steps=200)
            found.append(result.samples())
            if stops:
                raise stops.pop()("not yet")
        return outcome(True)

    def run():
        blocks.clear()
        return run_cards([card(check=check)], scale="quick", seed=0, out=tmp_path)

    (record,) = run()
    assert record.verdict == "error" and blocks
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not blocks  # the first part was there, the second had not begun
    (record,) = run()
    assert record.verdict == "reproduced" and blocks
    assert (found[0] == found[1]).all() and (found[0] == found[2]).all() and (found[0] != found[3]).any()
    assert not (tmp_path / "checkpoints" / "one").exists()


def test_the_exit_status_follows_what_is_on_record(tmp_path, capsys):
    found = [True, True]
    cards = [card(check=lambda _: outcome(*found)), card("new", check=lambda _: outcome(True))]
    expected = tmp_path / "expected.json"

    def run(*arguments):
        shutil.rmtree(tmp_path / "cards", ignore_errors=True)
        command = ["--scale", "smoke", "--out", str(tmp_path), *arguments]
        return main(command, cards=cards, expected=expected)

    assert run("--only", "one", "--record") == 0
    assert json.loads(expected.read_text()) == {"smoke": {"one": "reproduced"}}
    assert run() == 0  # what is not on record is no failure
    assert "nothing" in capsys.readouterr().out
    found[0] = False
    assert run() == 1
    assert "WORSE: one: partly, where 'reproduced' is on record" in capsys.readouterr().err
    assert run("--record") == 0
    assert json.loads(expected.read_text()) == {"smoke": {"new": "reproduced", "one": "partly"}}
    found[:] = [True, True]
    assert run() == 0
    expected.write_text('{"smoke": {"one": "perhaps"}}')
    with pytest.raises(SystemExit):
        run()
    assert "'perhaps' for one" in capsys.readouterr().err


def test_a_card_that_raises_is_shown_and_spoils_no_other(tmp_path, capsys):
    def check(_):
        raise ZeroDivisionError("by <nothing>")

    cards = [card(check=check), card("two")]
    command = ["--scale", "smoke", "--out", str(tmp_path), "--record"]
    assert main(command, cards=cards, expected=tmp_path / "expected.json") == 1
    assert "WORSE: one: The check raised ZeroDivisionError" in capsys.readouterr().err
    assert json.loads((tmp_path / "expected.json").read_text()) == {"smoke": {"two": "reproduced"}}
    first, second = json.loads((tmp_path / "report.json").read_text())["cards"]
    assert (first["verdict"], second["verdict"]) == ("error", "reproduced")
    assert "raise ZeroDivisionError" in first["error"]
    page = (tmp_path / "report.html").read_text()
    assert "by &lt;nothing&gt;" in page and "<nothing>" not in page
    assert not (tmp_path / "cards" / "one.json").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "gibs"], "--only must be among the cards, one, two; got 'gibs'"),
        (["--paper", "nature"], "--paper must be among made-up, other, got 'nature'"),
        (["--paper", "other", "--only", "one"], "--only must be among the cards of other, two; got 'one'"),
        (["--scale", "huge"], "'smoke', 'quick', 'full'"),
        (["--seed", "-1"], "--seed must be >= 0"),
        (["--out", __file__], "--out must be a folder"),
    ],
)
def test_errors_name_the_choices(arguments, says, capsys):
    cards = [card(), card("two", paper=Paper("other", "Another", "Nobody"))]
    with pytest.raises(SystemExit) as stopped:
        main(arguments, cards=cards)
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err.replace(
        "choose from smoke, quick, full", "'smoke', 'quick', 'full'"
    )


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


def test_the_readme_is_written_from_the_report(records, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    content = {"scale": "quick", "seed": 3, "seconds": 610.0, "device": "a machine"}
    content["cards"] = [to_json(record) for record in records]
    (out / "report.json").write_text(json.dumps(content))
    (out / "report.html").write_text(report(records, "setting"))
    page, figure = tmp_path / "README.md", tmp_path / "docs" / "picture.png"
    page.write_text(f"# Title\n\n{readme.BEGIN}\nstale\n{readme.END}\n\nEnd.\n")
    arguments = ["--report", str(out), "--readme", str(page), "--figure", str(figure), "--picture", "a"]
    readme.main(arguments)
    text = page.read_text()
    assert text.startswith("# Title\n\n") and text.endswith("\n\nEnd.\n") and "stale" not in text
    assert "| **a**: a claim | ◐ partly | a number: 1.50 ± 0.10 | failed, as it must |" in text
    assert "did not fail: this proves nothing" in text
    assert "](docs/picture.png)" in text and "](out/report.html)" in text and "10 minutes" in text
    assert figure.read_bytes() == records[2].figure
    readme.main(arguments)
    assert page.read_text() == text
    page.write_text("# Title\n")
    with pytest.raises(SystemExit):
        readme.main(arguments)
    assert "must hold the lines <!-- paper-checks -->" in capsys.readouterr().err


def test_the_cards_are_listed_as_a_user_sees_it_and_importing_them_makes_no_arrays():
    command = [sys.executable, "-W", "ignore", "-m", "paper_checks", "--list", "--paper", "three-factors"]
    # on the way the number of devices is set, which JAX refuses once there is an array
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    assert listed == {one.id for one in CARDS if one.paper.name == "three-factors"}


def test_what_is_on_record_is_of_cards_that_exist():
    content = json.loads(_expected.EXPECTED.read_text())
    assert set(content["smoke"]) == {one.id for one in CARDS}
    for scale, verdicts in content.items():
        assert set(verdicts) <= {one.id for one in CARDS}
        assert _expected.read_expected(_expected.EXPECTED, scale) == verdicts
