"""Faults in the Hessian without the matrix."""

from planted._fault import Fault

_COVARIANCE = "sde_sgd/curvature/_covariance.py"
_EIGEN = "sde_sgd/curvature/_eigenpairs.py"
_ESTIMATES = "sde_sgd/curvature/_estimates.py"
_NUDGED = "sde_sgd/curvature/_nudged.py"
_OPERATORS = "sde_sgd/curvature/_operators.py"
_QUADRATURE = "sde_sgd/curvature/_quadrature.py"
_SLICES = "sde_sgd/curvature/_slices.py"
_STEPS = "sde_sgd/curvature/_steps.py"

FAULTS = [
    Fault(
        "rotations that never meet some pairs",
        "sde_sgd/curvature/_jacobi.py",
        "seats = [seats[0], seats[-1], *seats[1:-1]]",
        "seats = [seats[-1], *seats[:-1]]",
        "curvature/test_jacobi.py::test_every_pair_meets_once",
    ),
    Fault(
        "eigenvalues in the order they were found",
        "sde_sgd/curvature/_jacobi.py",
        "rank = jnp.argsort(values)",
        "rank = jnp.arange(size)",
        "curvature/test_jacobi.py::test_it_agrees_with_lapack",
    ),
    Fault(
        "T without its last coupling",
        "sde_sgd/curvature/_lanczos.py",
        "matrix = jnp.diag(self.diagonal) + jnp.diag(off, 1) + jnp.diag(off, -1)",
        "matrix = jnp.diag(self.diagonal) + jnp.diag(off, 1) + jnp.diag(off.at[-1].set(0), -1)",
        "curvature/test_curvature_by_hand.py::test_the_whole_spectrum_by_three_products",
    ),
    Fault(
        "an exhausted Krylov space keeps the length of its rounding",
        "sde_sgd/curvature/_lanczos.py",
        "jnp.where(exhausted, jnp.zeros_like(length), length)",
        "length",
        "curvature/test_curvature_by_hand.py::test_a_krylov_space_that_ends_has_no_remainder",
    ),
    Fault(
        "residuals from the first entry of an eigenvector",
        "sde_sgd/curvature/_lanczos.py",
        "jnp.abs(self.off_diagonal[-1] * columns[-1])",
        "jnp.abs(self.off_diagonal[-1] * columns[0])",
        "curvature/test_curvature_by_hand.py::test_foremost_of_a_diagonal_matrix",
    ),
    Fault(
        "the largest magnitude among positive eigenvalues only",
        _EIGEN,
        '"magnitude": -jnp.abs(values)}',
        '"magnitude": -values}',
        "curvature/test_curvature_by_hand.py::test_foremost_of_a_diagonal_matrix",
    ),
    Fault(
        "the standard error of a trace is a standard deviation",
        _ESTIMATES,
        "spread(values) / len(values) ** 0.5",
        "spread(values)",
        "curvature/test_curvature_by_hand.py::test_the_error_of_a_mean_is_that_of_the_mean",
    ),
    Fault(
        "the error of a root by the factor 1 for ½",
        _ESTIMATES,
        "found.standard_error / (2 * jnp.maximum(norm",
        "found.standard_error / (1 * jnp.maximum(norm",
        "curvature/test_curvature_by_hand.py::test_a_norm_is_the_root_of_a_square_and_so_is_its_error",
    ),
    Fault(
        "Hutch++ counts the sketched part twice",
        _ESTIMATES,
        "z = z - (basis @ z) @ basis",
        "z = z + 0 * (basis @ z) @ basis",
        "curvature/test_curvature_by_hand.py::test_what_the_sketch_has_seen_is_not_counted_again",
    ),
    Fault(
        "the cosine's influence −1 for −½",
        _COVARIANCE,
        "jnp.stack([1 / cross, -0.5 / first, -0.5 / second])",
        "jnp.stack([1 / cross, -1 / first, -1 / second])",
        "curvature/test_curvature_by_hand.py::test_the_error_of_a_cosine_is_its_spread",
    ),
    Fault(
        "the cosine without a root",
        _COVARIANCE,
        "value = cross / jnp.sqrt(first * second)",
        "value = cross / (first * second)",
        "curvature/test_curvature_by_hand.py::test_alignment_of_two_diagonal_matrices",
    ),
    Fault(
        "N − 1 for N in the spectrum of the covariance",
        _COVARIANCE,
        "rows = (rows - jnp.mean(rows, axis=0)) / examples.size**0.5",
        "rows = (rows - jnp.mean(rows, axis=0)) / (examples.size - 1) ** 0.5",
        "curvature/test_curvature_by_hand.py"
        "::test_the_covariance_of_examples_is_centred_and_divided_by_their_number",
    ),
    Fault(
        "λ/e·C·e for e·C·e/λ",
        _COVARIANCE,
        "variances, variances / values,",
        "variances, values / variances,",
        "curvature/test_curvature_by_hand.py::test_alignment_of_two_diagonal_matrices",
    ),
    Fault(
        "C v is not centred",
        _OPERATORS,
        "back((along - jnp.mean(along)) / values.size)[0]",
        "back(along / values.size)[0]",
        "curvature/test_curvature_by_hand.py"
        "::test_the_covariance_of_examples_is_centred_and_divided_by_their_number",
    ),
    Fault(
        "the Gauss-Newton matrix without λI",
        _OPERATORS,
        "result + problem.l2.astype(flat.dtype) * penalised",
        "result",
        "curvature/test_curvature_by_hand.py::test_the_gauss_newton_matrix_holds_the_l2_term",
    ),
    Fault(
        "the index N of a subset is taken",
        _OPERATORS,
        "if low < 0 or high >= size:",
        "if low < 0 or high > size:",
        "curvature/test_curvature_by_hand.py::test_examples_that_are_not_there_are_refused",
    ),
    Fault(
        "quadrature weights without their square",
        _QUADRATURE,
        "return nodes, columns[0] ** 2",
        "return nodes, jnp.abs(columns[0])",
        "curvature/test_curvature_by_hand.py::test_a_density_is_the_sum_of_its_kernels",
    ),
    Fault(
        "the shift of a determinant is forgotten",
        _QUADRATURE,
        "jnp.sum(weights * jnp.log(nodes + shift), axis=1)",
        "jnp.sum(weights * jnp.log(nodes), axis=1)",
        "curvature/test_curvature_by_hand.py::test_a_determinant_with_its_shift",
    ),
    Fault(
        "a kernel of variance width",
        _QUADRATURE,
        "kernel = jnp.exp(-0.5 * ((point - nodes) / width) ** 2)",
        "kernel = jnp.exp(-((point - nodes) / width) ** 2)",
        "curvature/test_curvature_by_hand.py::test_a_density_is_the_sum_of_its_kernels",
    ),
    Fault(
        "a line that ends at b − a",
        _SLICES,
        "function(_moved(a, (alpha, jax.tree.map(jnp.subtract, b, a))))",
        "function(_moved(a, (alpha, b)))",
        "curvature/test_curvature_by_hand.py::test_a_line_begins_at_one_end_and_ends_at_the_other",
    ),
    Fault(
        "filters along the wrong axis",
        _SLICES,
        'if normalise == "layer" or axis != unit)',
        'if normalise == "layer" or axis == unit)',
        "curvature/test_curvature_by_hand.py::test_the_directions_of_a_plane_are_two",
    ),
    Fault(
        "the two directions of a plane are one",
        _SLICES,
        "random_direction(problem, theta, key=second, normalise=normalise)",
        "random_direction(problem, theta, key=first, normalise=normalise)",
        "curvature/test_curvature_by_hand.py::test_the_directions_of_a_plane_are_two",
    ),
    Fault(
        "blocks of single arrays where layers were asked for",
        "sde_sgd/curvature/_blocks.py",
        'shown = path[:-1] if by == "layer" and len(path) > 1 else path',
        "shown = path",
        "curvature/test_curvature_by_hand.py::test_layers_and_arrays_have_their_own_blocks",
    ),
    Fault(
        "a subset given as a number is ignored in a record",
        "sde_sgd/curvature/_observables.py",
        "self.examples = check_subset(problem, subset, jax.random.fold_in(key, 1))",
        "self.examples = check_subset(problem, None if np.ndim(subset) == 0 else subset, key)",
        "curvature/test_curvature_by_hand.py::test_a_subset_that_is_recorded_is_the_one_drawn",
    ),
    Fault(
        "a step across the sharpest directions with them in it",
        _STEPS,
        "jnp.stack([top, flat - top, flat])",
        "jnp.stack([top, flat, flat])",
        "curvature/test_steps.py::test_every_part_on_a_quadratic",
    ),
    Fault(
        "a quadratic without its half",
        _STEPS,
        "0.5 * alphas**2",
        "alphas**2",
        "curvature/test_steps.py::test_every_part_on_a_quadratic",
    ),
    Fault(
        "random directions as long as the whole step",
        _STEPS,
        "norm(drawn, axis=1)[:, None] * norm(top)",
        "norm(drawn, axis=1)[:, None] * norm(flat)",
        "curvature/test_steps.py::test_random_directions_are_as_long_as_the_top_and_point_anywhere",
    ),
    Fault(
        "a step's own batch is all examples",
        _STEPS,
        "loss = loss_of(problem, examples)",
        "loss = loss_of(problem, None)",
        "curvature/test_steps.py::test_on_a_regression_with_its_own_batch_and_nested_parameters",
    ),
    Fault(
        "an overlap of subspaces by the sum of cosines",
        _STEPS,
        "jnp.sum((rows[0] @ rows[1].T) ** 2)",
        "jnp.sum(jnp.abs(rows[0] @ rows[1].T))",
        "curvature/test_steps.py::test_overlap_of_subspaces",
    ),
    Fault(
        "γ − 1 without the 1",
        _NUDGED,
        "(along - across) * ((directions",
        "along * ((directions",
        "curvature/test_nudged.py::test_each_mode_of_a_quadratic_contracts_at_its_own_rate",
    ),
    Fault(
        "every chain pays for its products at every step",
        _NUDGED,
        "refresh = jax.custom_batching.custom_vmap(one)",
        "return one",
        "curvature/test_nudged.py::test_steps_between_refreshes_make_no_hessian_products",
    ),
    Fault(
        "directions that are found once and for all",
        _NUDGED,
        "return lax.cond(number % every == 0, anew",
        "return lax.cond(number == 0, anew",
        "curvature/test_nudged.py::test_it_is_an_optax_transformation_of_any_pytree",
    ),
    Fault(
        "random directions of one refresh are those of the next",
        _NUDGED,
        "drawn = jax.random.normal(jax.random.fold_in(key, number), old.shape, old.dtype)",
        "drawn = jax.random.normal(jax.random.key(0), old.shape, old.dtype)",
        "curvature/test_nudged.py::test_random_directions_are_orthonormal_and_every_chain_draws_its_own",
    ),
    Fault(
        "the optimizer looks at all examples where a subset was given",
        _NUDGED,
        'made = operator(problem, theta, "hessian", examples)',
        'made = operator(problem, theta, "hessian", None)',
        "curvature/test_nudged.py::test_directions_of_a_subset_of_the_examples",
    ),
    Fault(
        "a band of directions goes on from its last one alone",
        "sde_sgd/curvature/_band.py",
        "images[jnp.maximum(j - band, 0)]",
        "images[jnp.maximum(j - 1, 0)]",
        "curvature/test_band.py::test_all_of_several_equal_eigenvalues_are_found_near_their_directions",
    ),
]
