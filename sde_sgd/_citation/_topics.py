"""Which equation and which papers stand behind what."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sde_sgd._citation._things import DATA_NAMES


@dataclass(frozen=True)
class Topic:
    """One thing that a result rests on.

    Attributes:
        what: in a few words.
        equation: "" if there is none to tell.
        keys: of the references; none where it was derived for this package.
    """

    what: str
    equation: str = ""
    keys: tuple[str, ...] = ()


_T = Topic(
    "temperature",
    "T = ησ²/((1 − m)B); where C = σ²I the SDE settles in exp(−2L/T)",
    ("jastrzebski2017three", "smith2018bayesian"),
)
_SDE = "dθ = −∇L dt + (η'/B)^{1/2} C(θ)^{1/2} dW, t = η'k, η' = η/(1 − m)"
PROCESSES = {
    "SGD": Topic("SGD", "v ← m v + ĝ_B(θ), θ ← θ − η v", ("robbins1951stochastic",)),
    "SVAG": Topic(
        "SVAG", "θ ← θ − (η/l)[(1 + √(2l−1))/2 ∇L_{B₁} + (1 − √(2l−1))/2 ∇L_{B₂}]", ("li2021validity",)
    ),
    "SGLD": Topic("SGLD", "θ ← θ − η ĝ_B(θ) + (ηT)^{1/2} ξ", ("welling2011bayesian",)),
    "WhiteNoiseGD": Topic("gradient descent with white noise", "θ ← θ − η ∇L(θ) + (ηT)^{1/2} ξ"),
    "Langevin": Topic("Langevin SDE", _SDE, ("li2017stochastic", "jastrzebski2017three")),
    "SecondOrderLangevin": Topic(
        "SDE of second order", "dθ = −∇(L + (η/4)|∇L|²) dt + (η/B)^{1/2} C^{1/2} dW", ("li2017stochastic",)
    ),
    "UnderdampedLangevin": Topic(
        "underdamped SDE",
        "dθ = p dt, dp = −((1 − m)/√η) p dt − ∇L dt + η^{1/4} (C/B)^{1/2} dW",
        ("li2019stochastic",),
    ),
    "CentralFlow": Topic(
        "central flow",
        "dθ/dt = −∇L − ½ ∇⟨∇∇L, Σ⟩, 0 ⪯ Σ ⊥ (2/η) I − ∇∇L ⪰ 0",
        ("cohen2024understanding", "cohen2021gradient"),
    ),
}
# of which T = ησ²/((1 − m)B) is the temperature
_NOISY = frozenset(PROCESSES) - {"CentralFlow", "WhiteNoiseGD", "SGLD"}
# equations of options
_OPTIONS = {
    ("SecondOrderLangevin", "fixed", "ratio"): Topic(
        "SDE of second order at fixed η/B",
        "dθ = −∇(L + (η/4)|∇L|² − (η/2) tr(𝐃 ∇∇L)) dt + (I + (η/2) ∇∇L) (2𝐃)^{1/2} dW, 𝐃 = (η/2B) C",
        ("li2017stochastic",),
    ),
    ("Langevin", "noise", "isotropic"): Topic(
        "Langevin SDE with isotropic noise of the trace of C",
        "dθ = −∇L dt + (η' Tr C/(dB))^{1/2} dW, t = η'k, η' = η/(1 − m)",
        ("li2017stochastic", "jastrzebski2017three"),
    ),
    ("Langevin", "noise", "none"): Topic("gradient flow", "dθ = −∇L dt, t = ηk/(1 − m)"),
}
SDES = frozenset({"Langevin", "SecondOrderLangevin", "UnderdampedLangevin"})
_PROBLEMS = {
    "MullerBrown": Topic("Müller-Brown surface", keys=("muller1979location",)),
    "StyblinskiTang": Topic("Styblinski-Tang function", keys=("styblinski1990experiments",)),
}
# of diffrax, for underdamped Langevin diffusions
_UNDERDAMPED = ("ALIGN", "ShOULD", "QUICSORT")

_EXACT = "HΣ + ΣH − ηHΣH = (η/B) C without momentum"
_PASSAGE = "τ = ∫ dy e^{Φ(y)} ∫ dz e^{−Φ(z)}/D(z), Φ = ∫ L'/D"
_KS = ("kolmogorov1933sulla", "smirnov1948table")
CLASSES = {
    "Hyperparameters": _T,
    "Comparison": Topic(
        "Kolmogorov-Smirnov and Wasserstein-1", "sup |F − G|, ∫ |F − G| dx", (*_KS, "delbarrio1999central")
    ),
    "CurveTest": Topic(
        "curves by permutations", "max over the curve of |Welch's t|", ("westfall1993resampling",)
    ),
    "EquivalenceTest": Topic("two one-sided tests", keys=("schuirmann1987comparison",)),
    "Family": Topic(
        "Holm's correction", "p_(i) → max_{j ≤ i} min(1, (k − j + 1) p_(j))", ("holm1979simple",)
    ),
    "SlopeTest": Topic("bootstrap interval of a slope", keys=("efron1987better",)),
    "TemperatureTest": Topic(
        "temperature by equipartition", "⟨(θ − θ*)·∇L⟩ = Td/2", ("yaida2019fluctuation",)
    ),
    "TailIndex": Topic("index of a stable law", keys=("mohammadi2015estimating",)),
    "TimeAverage": Topic("effective sample size and R̂", keys=("vehtari2021rank",)),
    "Diagnosis": Topic(
        "does the SDE hold?", _SDE, ("li2017stochastic", "jastrzebski2017three", "smith2018bayesian")
    ),
    "PhaseDiagram": Topic(
        "η/B invariance", "runs of one η/B have one law in time ηk", ("jastrzebski2017three",)
    ),
    "LargestBatch": Topic(
        "how far η ∝ B goes", "B_simple = Tr C/|∇L|²", ("mccandlish2018empirical", "smith2018dont")
    ),
    "WeakError": Topic("weak error", "E f(SGD) − E f(SDE)", ("li2017stochastic",)),
    "EscapeRate": Topic("rate by counting, exact Poisson interval", keys=("garwood1936fiducial",)),
    "SplittingRate": Topic(
        "rare events by forward flux sampling", "rate = flux · Π shares", ("allen2005sampling",)
    ),
    "FokkerPlanck": Topic(
        "Fokker-Planck equation, by cells",
        "∂p/∂t = ∂(L'p)/∂θ + ∂²(Dp)/∂θ²",
        ("scharfetter1969large", "chang1970practical"),
    ),
    "PassageTime": Topic("mean first passage", _PASSAGE, ("gardiner2004handbook",)),
    "PassageLaw": Topic("law of the first passage", keys=("gardiner2004handbook",)),
    "KramersTime": Topic(
        "Kramers' time",
        "τ = (2π/|λ_b|) (|det H_b|/det H_a)^{1/2} exp(ΔL/D)",
        ("kramers1940brownian",),
    ),
    "QuasiPotential": Topic("quasi-potential", keys=("freidlin2012random",)),
    "PowerLawEscape": Topic("escape under noise ∝ loss", keys=("mori2022power",)),
    "DiffusionTheory": Topic(
        "escape under SGD's noise",
        "ln τ ~ (2BΔL/η)(s/H_a + (1 − s)/|H_b|)",
        ("xie2021diffusion",),
    ),
    "GaussianMixture": Topic(
        "shares of minima",
        "p_A/p_B = (det H_B/det H_A)^{1/2} exp(2(L_B − L_A)/T)",
        ("jastrzebski2017three",),
    ),
    "RegressionLaw": Topic("law of a regression", keys=("ziyin2022strength",)),
    "EffectiveTemperature": Topic(
        "temperature by direction", "T_i = η e_iᵀCe_i/((1 − m)B)", ("jastrzebski2017three",)
    ),
    "Evidence": Topic(
        "evidence by Laplace's method",
        "ln p ≈ −C(ω₀) − ½ Σ ln(λ_i/λ)",
        ("mackay1992bayesian", "smith2018bayesian"),
    ),
    "LearningCoefficient": Topic("local learning coefficient", keys=("lau2023local", "welling2011bayesian")),
    "NoiseScale": Topic("gradient noise scale", "Tr C/|∇L|²", ("mccandlish2018empirical",)),
    "SpectralDensity": Topic(
        "spectral density by Lanczos quadrature", keys=("lin2016approximating", "ghorbani2019investigation")
    ),
    "Eigenpairs": Topic("eigenpairs by Lanczos' method", keys=("parlett1998symmetric",)),
    "StepEffect": Topic("steps along sharp directions", keys=("jastrzebski2019relation",)),
    "Nudged": Topic("nudged SGD", keys=("jastrzebski2019relation",)),
}
DENSITIES = {
    "Gibbs": Topic("Gibbs law", "p ∝ exp(−2L/T), T = ησ²/((1 − m)B)", ("jastrzebski2017three",)),
    "Itô": Topic("stationary law, Itô", "p ∝ (1/D) exp(−∫ L'/D)", ("gardiner2004handbook",)),
    "O(η) law": Topic("law of SGD to order η", keys=("li2017stochastic",)),
    "SGD, exact": Topic("stationary law of the chain of SGD"),
}
# how names of tests begin
TESTS = {
    "Kolmogorov-Smirnov": Topic("Kolmogorov-Smirnov distance", "sup |F − G|", _KS),
    "Anderson-Darling": Topic("Anderson-Darling A²", keys=("anderson1954test",)),
    "Cramér-von Mises": Topic("Cramér-von Mises", keys=("anderson1962distribution",)),
    "Wasserstein-1": Topic("Wasserstein-1 distance", "∫ |F − G| dx", ("delbarrio1999central",)),
    "energy distance": Topic("energy distance", keys=("szekely2013energy",)),
}


def of_provenance(told: Mapping[str, Any]) -> list[Topic]:
    """The process with its solver, temperature, problems and data of a run or sweep."""
    process = told.get("process") or {}
    name = str(process.get("class", ""))
    found = _of_process(name, process, told.get("hyperparameters", {}))
    each = told.get("problems") or {"": told}
    for one in each.values():
        found += of_problem(one)
    return list(dict.fromkeys(found))


def _of_process(name: str, process: Mapping[str, Any], hyper: Mapping[str, Any]) -> list[Topic]:
    if name == "SGD" and process.get("optimizer") is not None:
        return [Topic("SGD by an optimizer of your own", "θ ← θ + update(ĝ_B)", ("robbins1951stochastic",))]
    options = [
        topic for (of, key, value), topic in _OPTIONS.items() if of == name and process.get(key) == value
    ]
    found = options or ([PROCESSES[name]] if name in PROCESSES else [])
    if name in ("SGD", "SGLD") and _any_positive(hyper.get("momentum")):
        found = [*found, Topic("heavy ball", keys=("polyak1964some",))]
    found += [_T] if name in _NOISY and process.get("noise") != "none" else []
    # a class of ours is told as a dictionary, one of diffrax as text
    solver = process.get("solver")
    words = str(solver.get("class", "")) if isinstance(solver, Mapping) else str(solver or "")
    if "LeimkuhlerMatthews" in words:
        found.append(
            Topic(
                "its solver", "θ' = θ − ∇L dt + (T dt)^{1/2} (R_k + R_{k+1})/2", ("leimkuhler2013rational",)
            )
        )
    elif name == "UnderdampedLangevin":
        foster = any(one in words for one in _UNDERDAMPED)
        keys = ("foster2021shifted",) if foster else ("melchionna2007design",)
        found.append(Topic("its solver", words.removesuffix("()") if foster else "position Verlet", keys))
    if process.get("increments") == "two_point":
        found.append(Topic("two-point increments", keys=("kloeden1992numerical",)))
    return found


def of_explorer(numbers: Any) -> list[Topic]:
    """What both tabs of the explorer draw."""
    found = _of_process("SGD", {}, {"momentum": numbers.settings.momentum})
    if type(numbers).__name__ == "WellNumbers":
        found += _of_process("Langevin", {"solver": "LeimkuhlerMatthews"}, {})
        found += [DENSITIES[one.name] for one in numbers.laws.values() if one.name in DENSITIES]
    else:
        found += [Topic("exact covariance of SGD", _EXACT, ("liu2021noise",)), *of_data("digits")]
    return [*found, CLASSES["Comparison"]]


def of_problem(told: Mapping[str, Any]) -> list[Topic]:
    """The surface, noise, network and data of a problem, from its part of a provenance."""
    problem = told.get("problem") or {}
    found = [_PROBLEMS[problem["class"]]] if problem.get("class") in _PROBLEMS else []
    noise, predict = problem.get("noise"), problem.get("predict")
    if isinstance(noise, Mapping) and noise.get("class") == "CurvatureNoise":
        found.append(Topic("noise of the curvature", "C = |H|", ("xie2021diffusion",)))
    if isinstance(predict, Mapping) and predict.get("class") == "ResNet":
        found.append(Topic("residual network", keys=("he2016deep", "wu2018group")))
    return found + of_data((told.get("data") or {}).get("name"))


def of_data(name: str | None) -> list[Topic]:
    """The source of a data set of this name, if it is one of ours."""
    for pattern, key in DATA_NAMES.items():
        # label noise and the like are told after a comma
        if name is not None and re.fullmatch(f"{pattern}(,.*)?", name):
            return [Topic(f"data: {name}", keys=(key,))]
    return []


def _any_positive(momentum: Any) -> bool:
    if isinstance(momentum, list):
        return any(_any_positive(one) for one in momentum)
    return isinstance(momentum, int | float) and momentum > 0
