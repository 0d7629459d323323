"""Faults in whether it came out."""

from planted._fault import Fault

_AD = "sde_sgd/statistics/_anderson_darling.py"
_COMPARE = "sde_sgd/statistics/_compare.py"
_CURVES = "sde_sgd/statistics/_curves.py"
_CVM = "sde_sgd/statistics/_cramer_von_mises.py"
_ENERGY = "sde_sgd/statistics/_energy.py"
_EQUIVALENCE = "sde_sgd/statistics/_equivalence.py"
_HOLM = "sde_sgd/statistics/_holm.py"
_KS = "sde_sgd/statistics/_kolmogorov_smirnov.py"
_MOMENTS = "sde_sgd/statistics/_moments.py"
_POOLED = "sde_sgd/statistics/_pooled.py"
_SLOPES = "sde_sgd/statistics/_slopes.py"
_TEMPERATURE = "sde_sgd/statistics/_temperature.py"
_TIME = "sde_sgd/statistics/_time_average.py"
_W1 = "sde_sgd/statistics/_wasserstein.py"

FAULTS = [
    Fault(
        "a digit of Marsaglia's correction",
        _AD,
        "(1.91864, -8.259, 14.458, -14.6538, 6.54034, -0.00022633)",
        "(1.91864, -8.259, 14.458, -14.6538, 5.64034, -0.00022633)",
        "statistics/test_statistics_by_hand.py::test_the_correction_of_a_squared_for_finite_n_has_no_steps",
    ),
    Fault(
        "a sum that begins one too late in the variance of A²",
        _AD,
        "inverse = 1 / np.arange(1, total)",
        "inverse = 1 / np.arange(2, total + 1)",
        "statistics/test_hypothesis_tests.py::test_anderson_darling_is_that_of_scipy",
    ),
    Fault(
        "the limit of A² without its singularity",
        _AD,
        "np.sqrt((u - low) * (high - u) / minus_d)",
        "np.sqrt((u - low) * (high - u))",
        "statistics/test_hypothesis_tests.py::test_the_limit_of_anderson_darling",
    ),
    Fault(
        "the signs of Smirnov's series",
        _AD,
        "np.sum((-1.0) ** (k[:, 0] + 1) * pieces.mean(axis=1))",
        "np.sum((-1.0) ** k[:, 0] * pieces.mean(axis=1))",
        "statistics/test_hypothesis_tests.py::test_the_limit_of_anderson_darling",
    ),
    Fault(
        "A² of the sample in reverse",
        _AD,
        "np.sum(odd * (np.log(u) + np.log1p(-u[::-1]))) / n)",
        "np.sum(odd * (np.log(u) + np.log1p(-u))) / n)",
        "statistics/test_hypothesis_tests.py::test_anderson_darling_is_that_of_scipy",
    ),
    Fault(
        "points of the second sample for all points",
        _ENERGY,
        "points = np.concatenate([x, y])",
        "points = np.concatenate([y, x])",
        "statistics/test_hypothesis_tests.py::test_energy_distance_by_brute_force"
        " statistics/test_hypothesis_tests.py::test_energy_sees_what_no_marginal_shows",
    ),
    Fault(
        "the energy distance's error by 1 for 2",
        _ENERGY,
        "error = 2 * np.sqrt(potential[:n].var() / n + potential[n:].var() / m)",
        "error = np.sqrt(potential[:n].var() / n + potential[n:].var() / m)",
        "statistics/test_statistics_by_hand.py"
        "::test_the_error_of_the_energy_distance_in_the_plane_is_its_spread",
    ),
    Fault(
        "the integral of D² for the energy distance",
        _ENERGY,
        "return float(2 * pooled.gap**2 @ widths)",
        "return float(pooled.gap**2 @ widths)",
        "statistics/test_hypothesis_tests.py::test_energy_distance_by_brute_force",
    ),
    Fault(
        "the smaller of two one-sided tests",
        _EQUIVALENCE,
        'upper if quantity == "law" else min(lower, upper)',
        'upper if quantity == "law" else max(lower, upper)',
        "statistics/test_hypothesis_tests.py::test_equivalence_is_two_one_sided_tests",
    ),
    Fault(
        "a margin for a ratio taken for one of its logarithm",
        _EQUIVALENCE,
        'inner = limit if quantity != "variance" else float(np.log(limit))',
        "inner = limit",
        "statistics/test_hypothesis_tests.py::test_equivalence_of_variances_and_laws",
    ),
    Fault(
        "Welch's degrees of freedom of paired values",
        _EQUIVALENCE,
        "both**2 / weights if weights > 0",
        "float(min(n, m) - 1) if weights > 0",
        "statistics/test_hypothesis_tests.py::test_equivalence_is_two_one_sided_tests",
    ),
    Fault(
        "the error of a logarithm is that of the number",
        _EQUIVALENCE,
        "variance_error(x) / variance",
        "variance_error(x)",
        "statistics/test_statistics_by_hand.py::test_errors_of_variances_are_in_units_of_them",
    ),
    Fault(
        "a two-sided interval of twice the level",
        _EQUIVALENCE,
        "sides = 1 if quantity",
        "sides = 2 if quantity",
        "statistics/test_statistics_by_hand.py::test_an_interval_says_how_much_it_covers",
    ),
    Fault(
        "a value counts to the interval before it",
        _POOLED,
        "influence[np.searchsorted(self.points, sample)].var()",
        "influence[np.searchsorted(self.points, sample) - 1].var()",
        "statistics/test_statistics_by_hand.py::test_the_error_of_a_gap_is_that_of_two_shares",
    ),
    Fault(
        "the error of the second sample for that of both",
        _POOLED,
        "total += influence[np.searchsorted(self.points, sample)].var() / len(sample)",
        "total = influence[np.searchsorted(self.points, sample)].var() / len(sample)",
        "statistics/test_hypothesis_tests.py::test_stated_errors_are_the_spread_where_laws_differ",
    ),
    Fault(
        "the slope through the origin",
        _SLOPES,
        "centred = at - middle",
        "centred = at",
        "statistics/test_hypothesis_tests.py::test_slopes",
    ),
    Fault(
        "the jackknife's error by √((n − 1)/n)",
        _SLOPES,
        "np.sqrt((units - 1) * without.var())",
        "np.sqrt((units - 1) / units * without.var())",
        "statistics/test_hypothesis_tests.py::test_error_of_a_slope_is_that_of_the_jackknife",
    ),
    Fault(
        "degrees of freedom of a line through points by those of seeds",
        _SLOPES,
        "freedom = units - (2 if paired else 1)",
        "freedom = units - 1",
        "statistics/test_statistics_by_hand.py"
        "::test_p_of_a_line_through_points_leaves_two_degrees_of_freedom",
    ),
    Fault(
        "four seeds are enough for a slope",
        _SLOPES,
        "    if len(values) < 5:\n",
        "    if len(values) < 4:\n",
        "statistics/test_hypothesis_tests.py::test_bad_input",
    ),
    Fault(
        "x that is always the same has a slope",
        _SLOPES,
        "    if len(np.unique(at)) < 2:\n",
        "    if len(np.unique(at)) < 1:\n",
        "statistics/test_hypothesis_tests.py::test_bad_input",
    ),
    Fault(
        "⟨ln y⟩ for ln⟨y⟩",
        _SLOPES,
        "at, values = np.log(at), np.log(values) if paired else values",
        "at, values = np.log(at), np.log(values) if paired else np.exp(np.log(values).mean(0)) + 0 * values",
        "statistics/test_hypothesis_tests.py::test_slopes",
    ),
    Fault(
        "the temperature ⟨θL'⟩ for 2⟨θL'⟩",
        _TEMPERATURE,
        "measured = 2 * float(work.mean() / divergence.mean())",
        "measured = float(work.mean() / divergence.mean())",
        "statistics/test_temperature.py::test_temperature_of_sgd_at_finite_learning_rate",
    ),
    Fault(
        "η for η/2 in the temperature at finite η",
        _TEMPERATURE,
        "n, above=0) / 2 * squared",
        "n, above=0) * squared",
        "statistics/test_temperature.py::test_temperature_of_sgd_at_finite_learning_rate",
    ),
    Fault(
        "half of the temperature's standard error",
        _TEMPERATURE,
        "error = 2 * mean_error(spread) / float(divergence.mean())",
        "error = mean_error(spread) / float(divergence.mean())",
        "statistics/test_temperature.py::test_temperature_of_sgd_at_finite_learning_rate"
        " statistics/test_temperature.py::test_temperature_with_momentum",
    ),
    Fault(
        "the error of T̂ by its numerator alone where a Laplacian is given",
        _TEMPERATURE,
        "spread = work - (expected - expected.mean() + measured) * divergence / 2",
        "spread = work - (expected - expected.mean() + measured) * divergence.mean() / 2",
        "statistics/test_temperature.py::test_error_of_the_temperature_is_that_of_the_jackknife",
    ),
    Fault(
        "n for n − 1 degrees of freedom in the temperature test",
        _TEMPERATURE,
        "mean_error(excess), n - 1)",
        "mean_error(excess), n)",
        "statistics/test_temperature.py::test_p_of_the_temperature_is_students",
    ),
    Fault(
        "a centre is added",
        _TEMPERATURE,
        "return [leaf - one for leaf, one in zip(leaves, at, strict=True)]",
        "return [leaf + one for leaf, one in zip(leaves, at, strict=True)]",
        "statistics/test_temperature.py::test_temperature_of_sgd_at_finite_learning_rate"
        " statistics/test_temperature.py::test_temperature_of_data_noise_that_depends_on_theta",
    ),
    Fault(
        "draws of several chains in one row",
        _TIME,
        "return np.concatenate([array[:, :half], array[:, -half:]])",
        "return np.concatenate([array[:, :half], array[:, :half]])",
        "statistics/test_hypothesis_tests.py::test_effective_sample_size_and_r_hat_are_those_of_arviz",
    ),
    Fault(
        "autocorrelations without the law's mean",
        _TIME,
        "tau = -1 + 2 * float(kept.sum()) + last",
        "tau = 1 + 2 * float(kept.sum()) + last",
        "statistics/test_hypothesis_tests.py::test_effective_sample_size_and_r_hat_are_those_of_arviz",
    ),
    Fault(
        "R̂ of locations only",
        _TIME,
        "for a in (halves, np.abs(halves - np.median(halves))))",
        "for a in (halves, halves))",
        "statistics/test_hypothesis_tests.py::test_chains_that_do_not_mix_are_seen"
        " statistics/test_hypothesis_tests.py::test_effective_sample_size_and_r_hat_are_those_of_arviz",
    ),
    Fault(
        "draws of no chain are taken",
        _TIME,
        "if array.ndim != 2 or array.shape[0] == 0:",
        "if array.ndim != 2:",
        "statistics/test_statistics_by_hand.py::test_draws_of_no_chain_are_refused",
    ),
    Fault(
        "Bonferroni for Holm",
        _HOLM,
        "(len(p) - rank) * p[name]",
        "len(p) * p[name]",
        "statistics/test_hypothesis_tests.py::test_holm",
    ),
    Fault(
        "Holm's p-values need not rise",
        _HOLM,
        "np.maximum.accumulate(steps).tolist()",
        "steps",
        "statistics/test_hypothesis_tests.py::test_holm",
    ),
    Fault(
        "the error of a variance by that of a normal law",
        _MOMENTS,
        "np.sqrt(max((centred**4).mean() - centred.var() ** 2, 0.0) / len(x))",
        "np.sqrt(2 * centred.var() ** 2 / len(x))",
        "statistics/test_statistics_by_hand.py::test_the_error_of_a_variance_assumes_no_normal_law",
    ),
    Fault(
        "a one-sided p-value",
        _MOMENTS,
        "2 * scipy.special.stdtr(freedom, -abs(t))",
        "scipy.special.stdtr(freedom, -abs(t))",
        "statistics/test_statistics_by_hand.py::test_two_sides_of_student",
    ),
    Fault(
        "the error of D with both samples' sizes added",
        _KS,
        "error = _error(float(pooled.rising[at]), pooled.size)",
        "error = _error(float(pooled.rising[at]), sum(pooled.n))",
        "statistics/test_hypothesis_tests.py::test_stated_errors_are_the_spread_where_laws_differ"
        " statistics/test_statistics.py::test_calibration_power_and_errors",
    ),
    Fault(
        "W₁ signed",
        _W1,
        "float(np.trapezoid(np.abs(gap), wide))",
        "float(abs(np.trapezoid(gap, wide)))",
        "statistics/test_hypothesis_tests.py::test_distances_are_those_of_scipy",
    ),
    Fault(
        "the error of Cramér-von Mises by 1 for 2",
        _CVM,
        "pooled.error(2 * pooled.gap * weights, pooled.gap**2)",
        "pooled.error(pooled.gap * weights, pooled.gap**2)",
        "statistics/test_hypothesis_tests.py::test_stated_errors_are_the_spread_where_laws_differ",
    ),
    Fault(
        "curves of groups with n for n − 1",
        _CURVES,
        "chosen @ rows**2 / size - mean**2, 0.0) / (size - 1)",
        "chosen @ rows**2 / size - mean**2, 0.0) / size",
        "statistics/test_hypothesis_tests.py::test_curves_find_where_they_differ"
        " statistics/test_hypothesis_tests.py::test_permutations_of_curves_are_all_of_them",
    ),
    Fault(
        "the effect in variances of the reference",
        _COMPARE,
        "effect=float((x.mean() - mean) / scale)",
        "effect=float((x.mean() - mean) / scale**2)",
        "statistics/test_statistics_by_hand.py::test_a_comparison_is_in_units_of_the_reference",
    ),
    Fault(
        "the error of a variance ratio without the reference's own",
        _COMPARE,
        "variance_error(x) / max(x.var(ddof=1), 1e-300), variance_error(y) / y.var(ddof=1))",
        "variance_error(x) / max(x.var(ddof=1), 1e-300), 0 * y.var(ddof=1))",
        "statistics/test_statistics_by_hand.py::test_a_comparison_is_in_units_of_the_reference",
    ),
    Fault(
        "pairs are taken for independent values",
        _POOLED,
        "pairs = np.stack([x, y]) if paired else None",
        "pairs = None",
        "statistics/test_pairs.py::test_compare_is_paired",
    ),
    Fault(
        "both values of a pair are on the same side of a gap",
        _POOLED,
        "np.cumsum(apart) / len(low) ** 2",
        "np.cumsum(apart) / len(low)",
        "statistics/test_pairs.py::test_variance_of_the_gap_of_pairs",
    ),
    Fault(
        "tied values have the null law of untied ones",
        _POOLED,
        "return bool(tied) or self.pairs is not None",
        "return self.pairs is not None",
        "statistics/test_ties.py::test_p_of_coins_is_exact",
    ),
]
