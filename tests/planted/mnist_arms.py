"""Faults in the arms on MNIST and on the user's own files."""

from planted._fault import Fault

_TEST = "paper_checks/test_mnist_arms.py::"
_MEMORISATION = "paper_checks/three_factors/memorisation.py"
_RUNS = "paper_checks/three_factors/_memorisation.py"

FAULTS = [
    Fault(
        "the slope on one data set is that of all of them",
        _MEMORISATION,
        "if setting.data == data}",
        "if setting.data}",
        _TEST + "test_each_data_set_has_its_own_sign",
    ),
    Fault(
        "a mean of slopes has the degrees of freedom of the most seeds",
        _MEMORISATION,
        "min(freedom[setting] for setting in parts)",
        "max(freedom[setting] for setting in parts)",
        _TEST + "test_the_fewest_seeds_set_the_degrees_of_freedom_of_a_mean",
    ),
    Fault(
        "on MNIST every momentum has the runs of the first",
        _RUNS,
        "slice(MOMENTA.index(setting.momentum) * len(points), None)",
        "slice(0, None)",
        _TEST + "test_a_setting_is_the_runs_with_its_momentum",
    ),
    Fault(
        "the user's files change results at every scale",
        "paper_checks/_data.py",
        'return context.data if context.scale == "full" else None',
        "return context.data",
        _TEST + "test_the_users_files_are_used_at_full_alone",
    ),
    Fault(
        "a card finished with other files of the same place is taken for the same",
        "paper_checks/_data.py",
        'parts.append(f"{folder}/{path.name} {at.st_size} {at.st_mtime_ns}")',
        'parts.append(f"{folder}/{path.name} {bool(at)}")',
        _TEST + "test_a_card_finished_with_other_files_is_another",
    ),
    Fault(
        "a picture's colours are read as its rows",
        "paper_checks/sharpest_directions/_networks.py",
        "inputs.reshape(-1, side, side, colours)",
        "jnp.moveaxis(inputs.reshape(-1, colours, side, side), 1, -1)",
        _TEST + "test_the_convolutional_network_reads_colours_as_they_lie",
    ),
]
