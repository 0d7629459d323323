"""Likely mistakes of a new user: each message names the argument, its value and the way out."""

from pathlib import Path

import pytest
from mistakes import MISTAKES, message, missing, names, table


@pytest.fixture(scope="module")
def known():
    return names()


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.code)
def test_the_message_names_the_argument_its_value_and_the_way_out(mistake, known):
    said = message(mistake, known)
    assert said, f"{mistake.code} is taken without a word"
    assert missing(mistake, said) == [], said
    assert len(said) < 600


def test_there_are_thirty_of_them_and_the_table_is_up_to_date(known):
    assert len(MISTAKES) >= 30
    written = (Path(__file__).parents[2] / "docs" / "mistakes.md").read_text()
    assert written == "\n".join(table(known)) + "\n"


def test_a_message_without_the_way_out_is_noticed(known):
    for one in MISTAKES:
        said = message(one, known)
        for part in filter(None, (one.argument, one.value, one.way_out)):
            assert missing(one, said.replace(part, "")) != []
