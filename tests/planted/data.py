"""Faults in the data sets."""

from planted._fault import Fault

_AUGMENT = "sde_sgd/data/_augment.py"
_SPLIT = "sde_sgd/data/_split.py"
_LABELS = "sde_sgd/data/_labels.py"
_LABEL_NOISE = "sde_sgd/data/_label_noise.py"
_FILES = "sde_sgd/data/_files.py"
_IDX = "sde_sgd/data/_idx.py"
_CIFAR = "sde_sgd/data/_cifar.py"
_TEACHER = "sde_sgd/data/_teacher.py"
_GENERATE = "sde_sgd/data/_generate.py"

FAULTS = [
    Fault(
        "copies of the first originals only",
        _AUGMENT,
        "parent = (numbers % jnp.uint32(inputs.shape[0])).astype(jnp.int32)",
        "parent = (numbers % jnp.uint32(inputs.shape[0] // 2)).astype(jnp.int32)",
        "test_data_generated.py::test_no_example_is_made_from_a_test_original"
        " test_data_generated.py::test_maps_stay_inside_their_limits_and_fill_them"
        " test_data_generated.py::test_augmented_digits_shapes_and_scale"
        " test_data_generated.py::test_augmented_digits_start_with_the_originals_and_keep_the_test_set",
    ),
    Fault(
        "maps to one side only",
        _AUGMENT,
        "maps = ((2.0 * draws - 1.0) * limits)",
        "maps = (draws * limits)",
        "test_data_generated.py::test_maps_stay_inside_their_limits_and_fill_them",
    ),
    Fault(
        "the background of an enlarged image is the mean pixel",
        _AUGMENT,
        "background=originals.inputs.min()",
        "background=originals.inputs.mean()",
        "test_data_by_hand.py::test_what_is_outside_of_an_image_is_the_background",
    ),
    Fault(
        "images are scaled by 1/(1 + s)",
        _AUGMENT,
        "cosine, sine = jnp.cos(angle) / (1.0 + scale), jnp.sin(angle) / (1.0 + scale)",
        "cosine, sine = jnp.cos(angle) * (1.0 + scale), jnp.sin(angle) * (1.0 + scale)",
        "test_data_generated.py::test_transformation_agrees_with_scipy",
    ),
    Fault(
        "enlarged data begin with copies",
        _AUGMENT,
        "    copies[: len(inputs)] = inputs\n",
        "",
        "test_data_generated.py::test_augmented_digits_start_with_the_originals_and_keep_the_test_set",
    ),
    Fault(
        "the test set is made with the maps of the training set",
        _AUGMENT,
        "test_count, _generate.words(key, _TEST)",
        "test_count, _generate.words(key, _TRAIN)",
        "test_data_by_hand.py::test_training_and_test_copies_have_maps_of_their_own",
    ),
    Fault(
        "data are standardised with the test set's help",
        _SPLIT,
        "mean, spread = x[:size].mean(axis=axis), x[:size].std(axis=axis)",
        "mean, spread = x.mean(axis=axis), x.std(axis=axis)",
        "test_data_by_hand.py::test_the_scale_is_that_of_the_training_set_alone",
    ),
    Fault(
        "a constant feature becomes infinite",
        _SPLIT,
        "spread > 1e-12 * np.abs(mean), spread, 1.0",
        "spread > 1e-12 * np.abs(mean), spread, 0.0",
        "test_data_by_hand.py::test_the_scale_is_that_of_the_training_set_alone",
    ),
    Fault(
        "the whole data set is too many training examples",
        _SPLIT,
        '    if size > total:\n        raise ValueError(f"train_size must be <= the {total} examples',
        '    if size >= total:\n        raise ValueError(f"train_size must be <= the {total} examples',
        "test_data_by_hand.py::test_all_examples_may_be_for_training",
    ),
    Fault(
        "a label equal to the number of classes is taken",
        _LABELS,
        "high >= classes:",
        "high > classes:",
        "test_data_by_hand.py::test_labels_are_below_the_number_of_classes",
    ),
    Fault(
        "random labels are never the last class",
        _LABEL_NOISE,
        "old.shape, 0, classes, dtype=jnp.int32)",
        "old.shape, 0, classes - 1, dtype=jnp.int32)",
        "test_empirical.py::test_random_labels_are_uniform_whatever_the_clean_ones",
    ),
    Fault(
        "the fraction of random labels is cut off",
        _LABEL_NOISE,
        "order[: round(float(fractions) * len(labels))]",
        "order[: int(float(fractions) * len(labels))]",
        "test_data_by_hand.py::test_the_number_of_redrawn_labels_is_rounded",
    ),
    Fault(
        "a file of exactly the largest size is refused",
        _IDX,
        "        if size > limit:\n",
        "        if size >= limit:\n",
        "test_data_files.py::test_read_idx_at_exactly_the_limit",
    ),
    Fault(
        "what follows the declared bytes is not looked at",
        _IDX,
        "        if self.stream.read(1):\n",
        "        if self.stream.read(0):\n",
        "test_data_files.py::test_read_idx_refuses_a_bad_file_by_name",
    ),
    Fault(
        "sizes in the byte order of the machine",
        _IDX,
        'np.frombuffer(sizes, dtype=">u4")',
        'np.frombuffer(sizes, dtype="<u4")',
        "test_data_files.py::test_read_idx_returns_what_was_written",
    ),
    Fault(
        "the colours of CIFAR with rows and columns swapped",
        _CIFAR,
        ".transpose(0, 2, 3, 1)",
        ".transpose(0, 3, 2, 1)",
        "test_data_files.py::test_cifar_returns_what_was_written",
    ),
    Fault(
        "what follows the largest size is not looked at",
        _CIFAR,
        "        if stream.read(1):\n",
        "        if stream.read(0):\n",
        "test_data_files.py::test_cifar_refuses_bad_files_by_name test_data_files.py::test_cifar_bomb",
    ),
    Fault(
        "a label of 10 is taken for a digit",
        _FILES,
        "np.flatnonzero(labels - np.uint8(first) >= classes)",
        "np.flatnonzero(labels - np.uint8(first) > classes)",
        "test_data_files.py::test_mnist_refuses_files_that_do_not_fit"
        " test_data_files.py::test_cifar_refuses_bad_files_by_name",
    ),
    Fault(
        "a special file is opened",
        _FILES,
        "    if not path.is_file():\n        _refuse_non_file(path)\n    try:",
        "    if path.is_dir():\n        _refuse_non_file(path)\n    try:",
        "test_data_by_hand.py::test_a_special_file_is_no_file",
    ),
    Fault(
        "the subset of a data set is its beginning",
        _FILES,
        "return np.asarray(order[:size])",
        "return np.sort(np.asarray(order))[:size]",
        "test_data_files.py::test_mnist_subset",
    ),
    Fault(
        "pixels are divided by their variance",
        _FILES,
        "float(np.sqrt(counts @ (values - mean) ** 2 / images.size))",
        "float(counts @ (values - mean) ** 2 / images.size)",
        "test_data_files.py::test_mnist_as_images test_data_files.py::test_mnist_subset"
        " test_data_files.py::test_mnist_reads_every_way_to_name_the_files",
    ),
    Fault(
        "the teacher's weights by 1/fan-in",
        _TEACHER,
        "(gain / math.sqrt(fan_in))",
        "(gain / fan_in)",
        "test_data_generated.py::test_teacher_weights_have_variance_gain_squared_over_fan_in",
    ),
    Fault(
        "the teacher's inputs go through a tanh",
        _TEACHER,
        "activity = jnp.tanh(activity) if layer else activity",
        "activity = jnp.tanh(activity)",
        "test_data_generated.py::test_labels_are_the_teachers",
    ),
    Fault(
        "test inputs are the training inputs",
        _TEACHER,
        "_sample(network, _generate.words(key, _TEST), test_count)",
        "_sample(network, _generate.words(key, _TRAIN), test_count)",
        "test_data_by_hand.py::test_no_input_of_a_teacher_is_in_both_sets",
    ),
    Fault(
        "examples repeat after a block",
        _GENERATE,
        "numbers = jnp.arange(start, start + _BLOCK, dtype=jnp.uint32)",
        "numbers = jnp.arange(_BLOCK, dtype=jnp.uint32)",
        "test_data_by_hand.py::test_numbers_of_examples_go_on_from_block_to_block",
    ),
]
