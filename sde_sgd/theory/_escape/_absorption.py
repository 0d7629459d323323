"""The mean time until a Markov chain with many states is absorbed."""

import numpy as np

from sde_sgd.theory._chain._markov import lowest_reach


def mean_absorption_times(transition: np.ndarray, absorbed: np.ndarray) -> np.ndarray:
    r"""T with T_i = 1 + Σ_j P_ij T_j: the mean number of steps from each state.

    By state reduction (Grassmann, Taksar, Heyman 1985) with 1 − P_kk written as what leaves state k, so that
    no subtraction occurs and every entry keeps its relative accuracy, however long it takes. Destroys P.

    Args:
        transition: P[i, j], from i to j, entries ≥ 0, shape `(n, n)`.
        absorbed: the chance to be absorbed in the next step, 1 − Σ_j P_ij, shape `(n,)`.
    """
    size = len(transition)
    P, gone, cost = transition, absorbed.copy(), np.ones(size)
    lowest = lowest_reach(P)
    leaving = np.empty(size)
    for k in range(size - 1, -1, -1):
        low = lowest[k]
        leaving[k] = gone[k] + P[k, low:k].sum()
        P[low:k, k] /= leaving[k]
        P[low:k, low:k] += np.outer(P[low:k, k], P[k, low:k])
        gone[low:k] += P[low:k, k] * gone[k]
        cost[low:k] += P[low:k, k] * cost[k]
    times = np.empty(size)
    for k in range(size):
        low = lowest[k]
        times[k] = (cost[k] + P[k, low:k] @ times[low:k]) / leaving[k]
    return times
