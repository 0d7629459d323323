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
_ARRAYS = "sde_sgd/data/_arrays.py"
_GZIP = "sde_sgd/data/_gzip.py"
_PAIRS = "sde_sgd/data/_image_pairs.py"
_EMNIST = "sde_sgd/data/_emnist.py"
_CIFAR_PYTHON = "sde_sgd/data/_cifar_python.py"
_GENERATE = "sde_sgd/data/_generate.py"

FAULTS = [
    Fault(
        "images of MNIST to test with are trained with too",
        "sde_sgd/data/_mnist_package.py",
        "return (images[:border], labels[:border])",
        "return (images, labels)",
        "data/test_mnist_package.py::test_it_has_all_images_once_with_pixels_from_0_to_1",
    ),
    Fault(
        "curves of MNIST-1D are shifted the other way",
        "sde_sgd/data/_mnist1d.py",
        "jnp.roll(one, draws.shift)",
        "jnp.roll(one, -draws.shift)",
        "data/test_mnist1d.py::test_a_curve_is_what_its_description_makes_of_the_same_draws",
    ),
    Fault(
        "copies of the first originals only",
        _AUGMENT,
        "parent = (numbers % jnp.uint32(inputs.shape[0])).astype(jnp.int32)",
        "parent = (numbers % jnp.uint32(inputs.shape[0] // 2)).astype(jnp.int32)",
        "data/test_data_generated.py::test_no_example_is_made_from_a_test_original"
        " data/test_data_generated.py::test_maps_stay_inside_their_limits_and_fill_them"
        " data/test_data_generated.py::test_augmented_digits_shapes_and_scale"
        " data/test_data_generated.py::test_augmented_digits_start_with_the_originals_and_keep_the_test_set",
    ),
    Fault(
        "maps to one side only",
        _AUGMENT,
        "maps = ((2.0 * draws - 1.0) * limits)",
        "maps = (draws * limits)",
        "data/test_data_generated.py::test_maps_stay_inside_their_limits_and_fill_them",
    ),
    Fault(
        "the background of an enlarged image is the mean pixel",
        _AUGMENT,
        "background=originals.inputs.min()",
        "background=originals.inputs.mean()",
        "data/test_data_by_hand.py::test_what_is_outside_of_an_image_is_the_background",
    ),
    Fault(
        "images are scaled by 1/(1 + s)",
        _AUGMENT,
        "cosine, sine = jnp.cos(angle) / (1.0 + scale), jnp.sin(angle) / (1.0 + scale)",
        "cosine, sine = jnp.cos(angle) * (1.0 + scale), jnp.sin(angle) * (1.0 + scale)",
        "data/test_data_generated.py::test_transformation_agrees_with_scipy",
    ),
    Fault(
        "enlarged data begin with copies",
        _AUGMENT,
        "    copies[: len(inputs)] = inputs\n",
        "",
        "data/test_data_generated.py::test_augmented_digits_start_with_the_originals_and_keep_the_test_set",
    ),
    Fault(
        "the test set is made with the maps of the training set",
        _AUGMENT,
        "test_count, _generate.words(key, _TEST)",
        "test_count, _generate.words(key, _TRAIN)",
        "data/test_data_by_hand.py::test_training_and_test_copies_have_maps_of_their_own",
    ),
    Fault(
        "data are standardised with the test set's help",
        _SPLIT,
        "mean, spread = x[:size].mean(axis=axis), x[:size].std(axis=axis)",
        "mean, spread = x.mean(axis=axis), x.std(axis=axis)",
        "data/test_data_by_hand.py::test_the_scale_is_that_of_the_training_set_alone",
    ),
    Fault(
        "a constant feature becomes infinite",
        _SPLIT,
        "spread > 1e-12 * np.abs(mean), spread, 1.0",
        "spread > 1e-12 * np.abs(mean), spread, 0.0",
        "data/test_data_by_hand.py::test_the_scale_is_that_of_the_training_set_alone",
    ),
    Fault(
        "the whole data set is too many training examples",
        _SPLIT,
        '    if size > total:\n        raise ValueError(f"train_size must be <= the {total} examples',
        '    if size >= total:\n        raise ValueError(f"train_size must be <= the {total} examples',
        "data/test_data_by_hand.py::test_all_examples_may_be_for_training",
    ),
    Fault(
        "a label equal to the number of classes is taken",
        _LABELS,
        "high >= classes:",
        "high > classes:",
        "data/test_data_by_hand.py::test_labels_are_below_the_number_of_classes",
    ),
    Fault(
        "random labels are never the last class",
        _LABEL_NOISE,
        "old.shape, 0, classes, dtype=jnp.int32)",
        "old.shape, 0, classes - 1, dtype=jnp.int32)",
        "data/test_label_noise.py::test_random_labels_are_uniform_whatever_the_clean_ones",
    ),
    Fault(
        "the fraction of random labels is cut off",
        _LABEL_NOISE,
        "order[: round(float(fractions) * len(labels))]",
        "order[: int(float(fractions) * len(labels))]",
        "data/test_data_by_hand.py::test_the_number_of_redrawn_labels_is_rounded",
    ),
    Fault(
        "a file of exactly the largest size is refused",
        _FILES,
        "        if size > limit:\n",
        "        if size >= limit:\n",
        "data/test_data_files.py::test_read_idx_at_exactly_the_limit",
    ),
    Fault(
        "what follows the declared bytes is not looked at",
        "sde_sgd/data/_files.py",
        "    if stream.read(1):\n",
        "    if stream.read(0):\n",
        "data/test_data_files.py::test_read_idx_refuses_a_bad_file_by_name",
    ),
    Fault(
        "sizes in the byte order of the machine",
        _IDX,
        'np.frombuffer(sizes, dtype=">u4")',
        'np.frombuffer(sizes, dtype="<u4")',
        "data/test_data_files.py::test_read_idx_returns_what_was_written",
    ),
    Fault(
        "the colours of CIFAR with rows and columns swapped",
        _CIFAR,
        ".transpose(0, 2, 3, 1)",
        ".transpose(0, 3, 2, 1)",
        "data/test_data_files.py::test_cifar_returns_what_was_written",
    ),
    Fault(
        "what follows the largest size is not looked at",
        _CIFAR,
        "        if stream.read(1):\n",
        "        if stream.read(0):\n",
        "data/test_data_files.py::test_cifar_refuses_bad_files_by_name"
        " data/test_data_files.py::test_cifar_bomb",
    ),
    Fault(
        "a label of 10 is taken for a digit",
        _FILES,
        "np.flatnonzero(labels - np.uint8(first) >= classes)",
        "np.flatnonzero(labels - np.uint8(first) > classes)",
        "data/test_data_files.py::test_mnist_refuses_files_that_do_not_fit"
        " data/test_data_files.py::test_cifar_refuses_bad_files_by_name",
    ),
    Fault(
        "a special file is opened",
        _FILES,
        "    if not path.is_file():\n        _refuse_non_file(path)\n    try:",
        "    if path.is_dir():\n        _refuse_non_file(path)\n    try:",
        "data/test_data_by_hand.py::test_a_special_file_is_no_file",
    ),
    Fault(
        "the subset of a data set is its beginning",
        _FILES,
        "return np.asarray(order[:size])",
        "return np.sort(np.asarray(order))[:size]",
        "data/test_data_files.py::test_mnist_subset",
    ),
    Fault(
        "pixels are divided by their variance",
        _FILES,
        "float(np.sqrt(counts @ (values - mean) ** 2 / images.size))",
        "float(counts @ (values - mean) ** 2 / images.size)",
        "data/test_data_files.py::test_mnist_as_images data/test_data_files.py::test_mnist_subset"
        " data/test_data_files.py::test_mnist_reads_every_way_to_name_the_files",
    ),
    Fault(
        "the teacher's weights by 1/fan-in",
        _TEACHER,
        "(gain / math.sqrt(fan_in))",
        "(gain / fan_in)",
        "data/test_data_generated.py::test_teacher_weights_have_variance_gain_squared_over_fan_in",
    ),
    Fault(
        "the teacher's inputs go through a tanh",
        _TEACHER,
        "activity = jnp.tanh(activity) if layer else activity",
        "activity = jnp.tanh(activity)",
        "data/test_data_generated.py::test_labels_are_the_teachers",
    ),
    Fault(
        "test inputs are the training inputs",
        _TEACHER,
        "_sample(network, _generate.words(key, _TEST), test_count)",
        "_sample(network, _generate.words(key, _TRAIN), test_count)",
        "data/test_data_by_hand.py::test_no_input_of_a_teacher_is_in_both_sets",
    ),
    Fault(
        "examples repeat after a block",
        _GENERATE,
        "numbers = jnp.arange(start, start + _BLOCK, dtype=jnp.uint32)",
        "numbers = jnp.arange(_BLOCK, dtype=jnp.uint32)",
        "data/test_data_by_hand.py::test_numbers_of_examples_go_on_from_block_to_block",
    ),
    Fault(
        "token ids become floats",
        _ARRAYS,
        "    if is_integer(train):\n        dtypes",
        "    if not is_integer(train):\n        dtypes",
        "data/test_own_data.py::test_integer_inputs_stay_integers_of_either_sign",
    ),
    Fault(
        "unsigned ids stay unsigned",
        _ARRAYS,
        "    for dtype in (np.int32, np.int64):\n",
        "    for dtype in (array.dtype.type, np.int32, np.int64):\n",
        "data/test_own_data.py::test_integer_inputs_stay_integers_of_either_sign",
    ),
    Fault(
        "a class that never occurs is not missed",
        _LABELS,
        "    if len(present) != high + 1:\n",
        "    if len(present) > high + 1:\n",
        "data/test_own_data.py::test_targets_that_fit_no_reading_are_refused",
    ),
    Fault(
        "another label may be the old one",
        _LABEL_NOISE,
        "jax.random.randint(key, old.shape, 1, classes, dtype=jnp.int32)",
        "jax.random.randint(key, old.shape, 0, classes, dtype=jnp.int32)",
        "data/test_label_noise.py::test_another_label_is_always_another",
    ),
    Fault(
        "the odds of new labels in the column of the old one",
        _LABEL_NOISE,
        "return matrix / sums[:, None], ",
        "return (matrix / sums[:, None]).T, ",
        "data/test_label_noise.py::test_a_matrix_has_the_odds_of_new_labels_in_the_row_of_the_old_one",
    ),
    Fault(
        "the images of EMNIST lie on their side",
        _EMNIST,
        "images.transpose(0, 2, 1, 3)",
        "images.transpose(0, 1, 2, 3)",
        "data/test_data_layouts.py::test_images_of_emnist_stand_upright_and_classes_count_from_0",
    ),
    Fault(
        "coarse labels where fine ones are asked for",
        _CIFAR,
        "before.index(labels)",
        "before.index(before[0])",
        "data/test_data_layouts.py::test_cifar_100_has_fine_and_coarse_labels",
    ),
    Fault(
        "a pickle may name any function",
        _CIFAR_PYTHON,
        "if named not in [*known, ",
        "if named in [*known, ",
        "data/test_data_layouts.py::test_a_pickle_that_is_no_batch_is_refused_and_nothing_in_it_runs"
        " data/test_data_layouts.py::test_the_python_version_gives_the_same_data",
    ),
    Fault(
        "compressed bytes that nothing comes out of are not counted",
        _GZIP,
        "        self._taken += taken\n",
        "        self._taken += min(taken, given)\n",
        "data/test_data_bounds.py::test_bytes_that_nothing_comes_out_of_are_refused_soon",
    ),
    Fault(
        "images are decompressed before they are compared with their labels",
        _PAIRS,
        "        if images.shape[0] != labels.shape[0]:\n",
        "        if len(images.entries(limit)) != labels.shape[0]:\n",
        "data/test_data_bounds.py::test_what_the_header_of_images_rules_out_is_not_decompressed",
    ),
]
