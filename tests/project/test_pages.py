"""The pages are made without a warning; links lead somewhere, all names have entries, nothing is too wide."""

import functools
import http.server
import importlib
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import CHROMIUM, MISSING, launched
from playwright.sync_api import sync_playwright

import sde_sgd

pytest.importorskip(
    "sphinx", reason="pages need the extra 'docs'; `make docs` and `make test-scripts` install it"
)

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

from house_style import converted  # noqa: E402
from mathml import mathml  # noqa: E402
from public_names import modules, names, places  # noqa: E402


def copied(home):
    """The sources of the pages, and the notebooks: executed where that has been done, else as written."""
    import jupytext
    import nbformat

    docs = home / "docs"
    shutil.copytree(DOCS, docs, ignore=shutil.ignore_patterns("_build", "notebooks", "__pycache__"))
    for name in ("sde_sgd", "paper_checks", "examples", "benchmarks"):
        (home / name).symlink_to(ROOT / name)
    (docs / "notebooks").mkdir()
    for text in (ROOT / "examples" / "notebooks").glob("*.md"):
        executed = ROOT / ".cache" / "notebooks" / f"{text.stem}.ipynb"
        target = docs / "notebooks" / executed.name
        if executed.exists():
            shutil.copy(executed, target)
        else:
            nbformat.write(jupytext.read(text), target)
    return docs


def built(docs, out):
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-b", "html", docs, out],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(docs.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    home = tmp_path_factory.mktemp("pages")
    done = built(copied(home), home / "html")
    assert done.returncode == 0, done.stderr[-5000:]
    return home / "html"


class Links(HTMLParser):
    """Where a page leads, what it shows, and the anchors that it has."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        self.links += [given[name] for name in ("href", "src") if given.get(name)]


@pytest.mark.script
def test_all_links_and_pictures_of_the_built_pages_are_there(pages):
    """That they are built at all means: no reference that leads nowhere, no warning."""
    read = {path: Links(path.read_text()) for path in pages.rglob("*.html")}
    assert len(read) > 40
    for path, found in read.items():
        for link in found.links:
            target, _, anchor = link.partition("#")
            target = target.partition("?")[0]
            if re.match(r"[a-z]+:", link) or not (target or anchor):
                continue
            there = (path.parent / unquote(target)).resolve() if target else path
            assert there.exists(), f"{path.name}: {link}"
            if anchor and there in read and there.suffix == ".html":
                assert unquote(anchor) in read[there].anchors, f"{path.name}: {link}"


@pytest.mark.script
def test_pages_load_nothing_from_elsewhere(pages):
    for path in pages.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|link|iframe)\b[^>]*(?:src|href)="([^"]+)"', path.read_text())
        assert not [one for one in loaded if re.match(r"(?:https?:)?//", one)], path.name


@pytest.mark.script
def test_every_public_name_has_an_entry(pages):
    found = subprocess.run(
        [sys.executable, "-m", "sphinx.ext.intersphinx", pages / "objects.inv"],
        capture_output=True,
        text=True,
        check=True,
    )
    listed = set(re.findall(r"^\s+(sde_sgd[\w.]*)", found.stdout, re.MULTILINE))
    public = {f"sde_sgd.{name}" for name in dir(sde_sgd)}
    for module in modules():
        offered = importlib.import_module(f"sde_sgd.{module}")
        public |= {f"sde_sgd.{module}.{name}" for name in dir(offered)}
    assert len(public) > 200
    assert public - listed == set()


def test_the_theory_names_every_law_and_every_process():
    text = (DOCS / "theory.md").read_text()
    named = set(re.findall(r"\{py:obj\}`([\w.]+)`", text))
    functions = {f"sde_sgd.theory.{name}" for name in names("sde_sgd.theory") if name[0].islower()}
    laws = {f"sde_sgd.{name}" for name in names("sde_sgd.processes")}
    laws -= {"sde_sgd.Process", "sde_sgd.ChainState", "sde_sgd.Diffusion"}
    assert functions | laws <= named


class Folder(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Not a word."""


@pytest.fixture(scope="module")
def address(pages):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Folder, directory=pages))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


# what reaches beyond the window and is not in a box that scrolls
TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  const scrolls = (one) => ["auto", "scroll", "hidden"].includes(getComputedStyle(one).overflowX);
  const boxed = (one) => one !== document.body && (scrolls(one) || boxed(one.parentElement));
  const wide = [...document.querySelectorAll("article *")].filter((one) => {
    const place = one.getBoundingClientRect();
    return place.width > 0 && place.right > width + 1 && !boxed(one);
  });
  const broken = [...document.images].filter((one) => one.complete && !one.naturalWidth);
  return {scroll: document.documentElement.scrollWidth - width, broken: broken.map((one) => one.src),
          wide: wide.slice(0, 3).map((one) => one.tagName + " " + one.className)};
}"""


@pytest.mark.script
@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
@pytest.mark.parametrize("width", [390, 1200])
def test_no_page_is_wider_than_its_window(pages, address, width):
    shown = [path.relative_to(pages).as_posix() for path in sorted(pages.rglob("*.html"))]
    panels = []
    with sync_playwright() as play:
        browser = launched(play)
        tab = browser.new_page(viewport={"width": width, "height": 900})
        for name in shown:
            # the report has a test of its own
            if name != "report.html":
                tab.goto(f"{address}/{name}")
                assert tab.evaluate(TOO_WIDE) == {"scroll": 0, "broken": [], "wide": []}, name
                panels += tab.evaluate("[...document.querySelectorAll('img.wide')].map(one => one.width)")
        # such a page is noticed
        tab.set_content('<html><body><article><p style="width: 3000px">wide</p></article></body></html>')
        assert tab.evaluate(TOO_WIDE)["wide"] == ["P "]
        browser.close()
    # pictures of several panels can be read on a phone: they scroll
    assert len(panels) > 5 and min(panels) > 600


@pytest.mark.script
def test_a_reference_that_leads_nowhere_stops_the_build(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("conf.py", "_ext", "_static"):
        copy = shutil.copytree if (DOCS / name).is_dir() else shutil.copy
        copy(DOCS / name, docs / name)
    (tmp_path / "paper_checks").symlink_to(ROOT / "paper_checks")
    (docs / "index.md").write_text("# Title\n\n{py:obj}`sde_sgd.nothing`\n")
    done = built(docs, tmp_path / "html")
    assert done.returncode != 0 and "sde_sgd.nothing" in done.stderr


def test_every_module_has_its_page():
    there = {path.stem for path in (DOCS / "api").glob("*.rst")}
    assert there == {"sde_sgd", *modules()}
    for name in there:
        module = "sde_sgd" if name == "sde_sgd" else f"sde_sgd.{name}"
        text = (DOCS / "api" / f"{name}.rst").read_text()
        assert text.startswith(f"{module}\n{'=' * len(module)}\n")
        assert f".. public-names:: {module}\n" in text


def test_a_name_of_two_modules_is_documented_once():
    known = places()
    assert known["sde_sgd.simulation.run"] == known["sde_sgd.run"] == "sde_sgd.run"
    assert known["sde_sgd.curvature.trace"] == "sde_sgd.curvature.trace"
    assert set(known.values()) <= set(known)


def test_docstrings_become_what_sphinx_reads():
    text = "A `run` of |x|* by `theory.gibbs`, `mine`s.\n\n    x ← *x*\n\nArgs:\n    a: `Result`, **bold**."
    by = "by :py:obj:`theory.gibbs <sde_sgd.theory.gibbs>`, ``mine``\\ s."
    assert converted(text.split("\n"), "sde_sgd.sweep") == [
        f"A :py:obj:`run <sde_sgd.run>` of \\|x\\|\\* {by}",
        "",
        ".. code-block:: text",
        "",
        "    x ← *x*",
        "",
        "Args:",
        "    a: :py:obj:`Result <sde_sgd.Result>`, **bold**.",
    ]
    assert converted(["`sweep`"], "sde_sgd.sweep") == ["``sweep``"]


def test_formulas_become_mathml():
    made = mathml(r"\frac12\hat g_B", block=False)
    assert "<mn>1</mn>" in made and "<mn>12</mn>" not in made
    assert re.search(r'<msub>\s*<mover accent="true">\s*<mi>g</mi>', made)
    assert mathml(r"\lvert x\rvert^2", block=True).count('stretchy="false"') == 2
    with pytest.raises(ValueError, match="nosuchcommand"):
        mathml(r"\nosuchcommand", block=True)
