"""Faults in sweeps that are run in parts and put together."""

from planted._fault import Fault

_SHARE = "sde_sgd/simulation/_sweep_share.py"
_OUTCOME = "sde_sgd/simulation/_sweep_outcome.py"
_MERGE = "sde_sgd/simulation/_merge_sweeps.py"

FAULTS = [
    Fault(
        "a part of a sweep takes the jobs of the next one",
        _SHARE,
        "[jobs[one] for one in mine]",
        "[jobs[one - 1] for one in mine]",
        "simulation/test_sweep_parts.py::test_parts_share_out_each_run_once_and_by_cost",
    ),
    Fault(
        "the chains of a part are numbered seed first",
        _OUTCOME,
        "seeds * len(plan.points) + points,",
        "points * plan.seeds + seeds,",
        "simulation/test_sweep_parts.py::test_a_part_says_which_runs_it_holds",
    ),
    Fault(
        "merged runs lie at other seeds",
        _MERGE,
        "seed, point = np.divmod(dataset[chain].values, points)",
        "point, seed = np.divmod(dataset[chain].values, seeds)",
        "simulation/test_sweep_parts.py::test_files_may_come_one_by_one"
        " simulation/test_sweep_parts.py::test_a_part_without_runs_is_saved_and_says_what_makes_some",
    ),
    Fault(
        "parts of one sweep may have two lengths",
        _SHARE,
        'f"{plan.clock.length!r} {plan.clock.unit}"',
        "plan.clock.unit",
        "simulation/test_sweep_parts.py::test_all_parts_can_be_made_longer_but_not_some",
    ),
    Fault(
        "the last part is not missed",
        _MERGE,
        "set(range(count)) - set(names)",
        "set(range(count - 1)) - set(names)",
        "simulation/test_sweep_parts.py::test_missing_parts_are_named",
    ),
    Fault(
        "a part that is there twice is taken",
        _MERGE,
        "        if number in names:\n",
        "        if number in names and names[number] == name:\n",
        "simulation/test_sweep_parts.py::test_a_part_that_is_there_twice_is_named",
    ),
    Fault(
        "the checkpoints of one part are another's",
        _SHARE,
        '{**self.config, "part": str(self.part)}',
        "{**self.config}",
        "simulation/test_sweep_parts.py::test_checkpoints_of_two_parts_cannot_be_exchanged",
    ),
    Fault(
        "all parts share one folder of checkpoints",
        _SHARE,
        "directory=folder / self.name",
        'directory=folder / "part"',
        "simulation/test_sweep_parts.py::test_each_part_has_its_place_in_one_folder",
    ),
    Fault(
        "a part begins beside parts of another sweep",
        _SHARE,
        "        self._check_neighbour(folder)\n",
        "",
        "simulation/test_sweep_parts.py::test_no_part_of_another_sweep_begins_in_the_folder",
    ),
]
