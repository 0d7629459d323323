"""One paper, book, data set or program, as text and as BibTeX."""

import re
from dataclasses import dataclass

# needed, by the kind of entry
REQUIRED = {
    "article": ("author", "title", "journal", "year"),
    "inproceedings": ("author", "title", "booktitle", "year"),
    "book": ("author", "title", "publisher", "year"),
    "phdthesis": ("author", "title", "school", "year"),
    "techreport": ("author", "title", "institution", "year"),
    "misc": ("author", "title"),
}
_PLAIN = ("url", "doi", "eprint", "archiveprefix")  # not typeset as words
_PLACES = ("journal", "booktitle", "publisher", "school", "institution", "howpublished")


@dataclass(frozen=True)
class Reference:
    """What is cited.

    Attributes:
        key: of the BibTeX entry.
        kind: of it, such as "article".
        fields: name → text; authors as "Family, Given and Family, Given".
    """

    key: str
    kind: str
    fields: dict[str, str]

    def __str__(self) -> str:
        told = self.fields
        place = next((told[name] for name in _PLACES if name in told), "")
        numbers = " ".join(filter(None, [told.get("volume"), told.get("pages", "").replace("--", "-")]))
        parts = [f"{self._names()}: {told['title']}", place + (f" {numbers}" if numbers else "")]
        parts += [told.get("year", "")]
        parts += [f"arXiv:{told['eprint']}"] if "eprint" in told else [told.get("url", "")]
        return ", ".join(filter(None, parts)) + "."

    @property
    def released(self) -> str:
        """Of a program: its name, its release and what to cite."""
        return f"{self.key} {self.fields.get('version', '')}".rstrip() + f": {self}"

    def bibtex(self) -> str:
        """The entry."""
        lines = []
        for name, text in self.fields.items():
            shown = text if name in _PLAIN else re.sub(r"([&%#_])", r"\\\1", text)
            # a title keeps its capitals
            lines.append(f"  {name} = {{{{{shown}}}}}" if name == "title" else f"  {name} = {{{shown}}}")
        return f"@{self.kind}{{{self.key},\n" + ",\n".join(lines) + "\n}"

    def _names(self) -> str:
        """Family names, of more than seven the first with "et al."."""
        people = [one.strip().strip("{}") for one in self.fields["author"].split(" and ")]
        families = [one.partition(",")[0] for one in people]
        if len(families) > 7 or families[-1] == "others":
            return f"{families[0]} et al."
        return ", ".join(families)


def entries(kind: str, table: str) -> dict[str, Reference]:
    """References of one kind, from lines of key | authors | title | year | name=text | name=text …"""
    found = {}
    for line in table.strip().splitlines():
        key, author, title, year, *rest = (part.strip() for part in line.split(" | "))
        fields = {"author": author, "title": title, "year": year}
        fields |= dict(part.split("=", 1) for part in rest)
        if "eprint" in fields:
            fields["archiveprefix"] = "arXiv"
        found[key] = Reference(key, kind, fields)
    return found
