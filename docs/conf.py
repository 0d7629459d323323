"""How the pages are made: `make docs`."""

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

import sde_sgd  # noqa: E402

project = "sde_sgd"
author = "the authors of sde_sgd"
version = release = sde_sgd.__version__
html_title = "sde_sgd"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "house_style",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "public_names",
    "mathml",
    "paper_report",
    "wide_pictures",
]
exclude_patterns = ["_build", "figures"]
nitpicky = True
# dashes only: L' is a derivative
smartquotes_action = "D"
# no inventory of other projects is at hand: Python's exceptions are named, not linked
nitpick_ignore_regex = [("py:exc", r"\w*(Error|Warning|Exception|Interrupt)")]

myst_enable_extensions = ["dollarmath", "attrs_inline"]
myst_heading_anchors = 3
# notebooks come executed, from execute_notebooks.py; without them the pages are made all the same
nb_execution_mode = "off"
nb_merge_streams = True

# docstrings: Google's sections; types are in the signatures that editors show
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_math_renderer = "mathml"
html_extra_path = ["../paper_checks/results/report.html"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _without_what_is_not_there)


def _without_what_is_not_there(app: Any, page: str, content: list[str]) -> None:
    """Lists of pages by a pattern, such as notebooks, may be empty; Sphinx would warn."""
    if page == "index":
        lines = content[0].split("\n")
        kept = [line for line in lines if not line.endswith("*") or any(Path(app.srcdir).glob(f"{line}.*"))]
        content[0] = "\n".join(kept)
