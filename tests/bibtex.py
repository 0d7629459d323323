"""A small reader of BibTeX, which is content with nothing but whole entries."""

import re

from sde_sgd._citation._reference import REQUIRED


def read(bibtex):
    """Key → (kind, fields) of BibTeX whose braces are balanced; fails on anything else."""
    found = {}
    place = 0
    while place < len(bibtex):
        head = re.compile(r"\s*@(\w+)\{([^,\s{}]+),").match(bibtex, place)
        if head is None:
            assert not bibtex[place:].strip(), bibtex[place : place + 40]
            return found
        assert head[2] not in found, "the same key twice"
        fields, place = {}, head.end()
        while name := re.compile(r"\s*(\w+) = \{").match(bibtex, place):
            place, depth = name.end(), 1
            start = place
            while depth:
                depth += {"{": 1, "}": -1}.get(bibtex[place], 0)
                place += 1
            assert name[1] not in fields
            fields[name[1]] = bibtex[start : place - 1]
            place += bibtex[place] == ","
        end = re.compile(r"\s*\}").match(bibtex, place)
        assert end, bibtex[place : place + 40]
        place = end.end()
        found[head[2]] = head[1], fields
    return found


def whole(kind, fields):
    assert not [name for name in REQUIRED[kind] if not fields.get(name, "").strip()]
    assert re.fullmatch(r"(19|20)\d\d", fields.get("year", "2000"))
    assert re.fullmatch(r"\d{4}\.\d{4,5}", fields.get("eprint", "1234.56789"))
    assert ("eprint" in fields) == ("archiveprefix" in fields)
    for name, text in fields.items():
        assert name == "url" or not re.search(r"(?<!\\)[&%#_$]", text), text
    for person in fields["author"].strip("{}").split(" and "):
        assert "," in person or person in ("others", "DeepMind", "The authors of sde\\_sgd")
