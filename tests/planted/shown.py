"""Faults in what notebooks show, in the command line and in citations."""

from planted._fault import Fault

_HTML = "sde_sgd/_platform/_html.py"
_SVG = "sde_sgd/_platform/_svg.py"
_SHOWN = "sde_sgd/_platform/_shown.py"
_DOCTOR = "sde_sgd/_command_line/_doctor.py"
_FEATURES = "sde_sgd/_command_line/_features.py"
_DEMO = "sde_sgd/_command_line/_demo.py"
_MAIN = "sde_sgd/_command_line/_main.py"
_TOPICS = "sde_sgd/_citation/_topics.py"
_REFERENCE = "sde_sgd/_citation/_reference.py"
_CITATION = "sde_sgd/_citation/_citation.py"
_SEEN = "conventions/test_html.py"
_TOLD = "command_line/test_command_line.py"
_CITED = "citation/test_citation.py"

FAULTS = [
    Fault(
        "cells of a table are markup",
        _HTML,
        "{escaped(cell)}</td>",
        "{cell}</td>",
        f"{_SEEN}::test_markup_in_a_label_comes_out_as_text",
    ),
    Fault(
        "words in a picture are markup",
        _SVG,
        "return html.escape(words)",
        "return words",
        f"{_SEEN}::test_markup_in_a_label_comes_out_as_text",
    ),
    Fault(
        "every second of a few chains is another one",
        _SHOWN,
        "begin = -first % step",
        "begin = 0",
        f"{_SEEN}::test_a_few_chains_are_those_at_even_places",
    ),
    Fault(
        "an interval beyond its limit ends there",
        _SVG,
        "min(max(high, 1.2 * limit), 4 * limit)",
        "limit",
        f"{_SEEN}::test_an_interval_lies_where_it_should",
    ),
    Fault(
        "an excluded release is well",
        _DOCTOR,
        "elif why := EXCLUDED.get((name, version)):",
        "elif why := EXCLUDED.get((version, name)):",
        f"{_TOLD}::test_doctor_finds_what_must_be_mended",
    ),
    Fault(
        "releases are compared as text",
        _FEATURES,
        "_numbers(version) < _numbers(wanted)",
        "version < wanted",
        f"{_TOLD}::test_releases_are_compared_by_their_numbers",
    ),
    Fault(
        "use_cpu is advised where it was called",
        _DOCTOR,
        'backend == "cpu" and count < cores',
        'backend == "cpu" and count <= cores',
        f"{_TOLD}::test_doctor_advises_what_would_use_the_machine",
    ),
    Fault(
        "a demo of diverged chains is as it should be",
        _DEMO,
        "return not self.diverged and all(",
        "return all(",
        f"{_TOLD}::test_the_exit_code_of_the_demo_is_its_outcome",
    ),
    Fault(
        "the exit code of a doctor is 0",
        _MAIN,
        "return 0 if found.well else 1",
        "return 0",
        f"{_TOLD}::test_doctor_finds_what_must_be_mended",
    ),
    Fault(
        "position Verlet for every solver",
        _TOPICS,
        "foster = any(one in words for one in _UNDERDAMPED)",
        "foster = any(words in one for one in _UNDERDAMPED)",
        f"{_CITED}::test_each_process_has_its_papers",
    ),
    Fault(
        "data of a name that begins alike",
        _TOPICS,
        'f"{pattern}(,.*)?"',
        'f"{pattern}.*"',
        f"{_CITED}::test_data_sets_are_known_by_their_names",
    ),
    Fault(
        "releases of today for those of the run",
        _CITATION,
        'here | told.get("versions", {})',
        'told.get("versions", {}) | here',
        f"{_CITED}::test_a_result_is_cited_with_its_releases",
    ),
    Fault(
        "what TeX would stumble on stays",
        _REFERENCE,
        "text if name in _PLAIN else",
        "text if name not in _PLAIN else",
        f"{_CITED}::test_what_tex_would_stumble_on_is_escaped",
    ),
]
