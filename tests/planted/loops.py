"""Faults in how steps are looped over, in kernels, and in what is known of many chains."""

from planted._fault import Fault

_ENGINE = "sde_sgd/simulation/_engine.py"
_PROGRAM = "sde_sgd/simulation/_program.py"
_LANES = "sde_sgd/simulation/_kernel/_lanes.py"
_LAUNCH = "sde_sgd/simulation/_kernel/_launch.py"

FAULTS = [
    Fault(
        "even places of samples go on to the end of the run",
        "sde_sgd/simulation/_plan.py",
        "if last + gap > self.steps:",
        "if last + gap > 0:",
        "simulation/test_places_of_samples.py::test_even_places_end_where_the_list_does",
    ),
    Fault(
        "of many chains those that fill the slots are counted as lost",
        _ENGINE,
        "return int(lost) - self.padding, int(ended)",
        "return int(lost), int(ended)",
        "simulation/test_many_chains.py::test_what_is_told_of_many_chains_is_what_is_told_of_few",
    ),
    Fault(
        "of many chains a run ends when one has stopped",
        _ENGINE,
        "int(ended) == self.layout.slots",
        "int(ended) > self.padding",
        "simulation/test_many_chains.py::test_results_are_those_of_few_chains",
    ),
    Fault(
        "many chains that were lost before are taken for new ones",
        _ENGINE,
        "and not self.padding and before.is_nothing",
        "and not self.padding",
        "simulation/test_many_chains.py::test_results_are_those_of_few_chains",
    ),
    Fault(
        "of many chains those that are lost at the end are not seen",
        _ENGINE,
        "if self.many and int(lost) == self.padding:",
        "if self.many:",
        "simulation/test_many_chains.py::test_results_are_those_of_few_chains",
    ),
    Fault(
        "a loop of known length makes its first steps again and again",
        "sde_sgd/processes/_loops.py",
        "start = first + number * size",
        "start = first",
        "processes/test_loops.py::test_every_step_is_made_once_and_in_order",
    ),
    Fault(
        "shapes of other arguments are taken for these",
        "sde_sgd/_platform/reading/_traces.py",
        "key = (rest, given, *_settings",
        "key = (rest, *_settings",
        "simulation/test_read_anew.py::test_shapes_are_of_the_arguments_and_of_the_settings",
    ),
    Fault(
        "shapes of another precision are taken for these",
        "sde_sgd/_platform/reading/_traces.py",
        "key = (rest, given, *_settings.compiled_in().values())",
        "key = (rest, given)",
        "simulation/test_read_anew.py::test_shapes_are_of_the_arguments_and_of_the_settings",
    ),
    Fault(
        "the last tile of a kernel is left out",
        _LAUNCH,
        "blocks = -(-chains // math.prod(lanes))",
        "blocks = max(1, chains // math.prod(lanes))",
        "simulation/test_chain_kernel.py::test_the_chains_are_those_of_the_plain_loop",
    ),
    Fault(
        "a program with a kernel is taken for one without",
        _PROGRAM,
        "settings = (self._kernel_asked, *_settings",
        "settings = (None, *_settings",
        "simulation/test_chain_kernel.py::test_the_chains_are_those_of_the_plain_loop",
    ),
    Fault(
        "a slice of lanes that begins beyond the last place begins at the first",
        _LANES,
        "beyond = _one_by_one(lax.ge, [start,",
        "beyond = _one_by_one(lax.eq, [start,",
        "simulation/test_lanes.py::test_lanes_are_what_vmap_gives",
    ),
]
