"""The frame of the paper checks: verdicts, resuming, what is on record, errors."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from helpers import refused
from made_up_cards import card, measurement, outcome

import sde_sgd as ss
from paper_checks import _expected, _fingerprint
from paper_checks.__main__ import main
from paper_checks._card import Outcome, Paper, Verdict, decide
from paper_checks._context import Context, Laws, folded
from paper_checks._papers import CARDS, check_unique
from paper_checks._record import from_json, load, recorded, save, to_json
from paper_checks._runner import run_cards

ROOT = Path(__file__).parents[2]


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
