"""The stationary vector of a Markov chain with many states."""

import numpy as np
import scipy


def stationary_vector(transition: np.ndarray) -> np.ndarray:
    """π with πP = π.

    By state reduction where P is small or banded, and where the chain passes so rarely from some
    states to others that solving the linear system would lose more than five digits.

    Args:
        transition: P[i, j], from i to j, entries ≥ 0, rows of sum one, shape `(n, n)`.

    Raises:
        ValueError: if there are states that never lead to each other, so that the law is not unique.
    """
    recurrent = _recurrent(transition)
    within = transition[np.ix_(recurrent, recurrent)]
    reach = lowest_reach(within)
    work = ((np.arange(len(reach)) - reach) ** 2.0).sum()
    found = _solved(within) if work > 5e7 else None
    law = np.zeros(len(transition))
    law[recurrent] = _reduced(within, reach) if found is None else found
    return law


def _recurrent(P: np.ndarray) -> np.ndarray:
    """The states that are visited for ever, in ascending order."""
    links = scipy.sparse.csr_array(P > 0)
    count, label = scipy.sparse.csgraph.connected_components(links, connection="strong")
    start, end = links.nonzero()
    left = np.unique(label[start][label[start] != label[end]])
    closed = np.setdiff1d(np.arange(count), left)
    if closed.size != 1:
        raise ValueError(
            f"the chain has {closed.size} groups of states that it never leaves, so there is no single "
            f"stationary law; give more points, or bounds that hold one group."
        )
    return np.flatnonzero(label == closed[0])


def lowest_reach(P: np.ndarray) -> np.ndarray:
    """The lowest state that state k is joined with once all higher ones are eliminated."""
    lowest = np.minimum(np.argmax(P > 0, axis=1), np.argmax(P > 0, axis=0))
    return np.minimum.accumulate(lowest[::-1])[::-1]


def _solved(P: np.ndarray) -> np.ndarray | None:
    """π by an LU decomposition, or None if that is not accurate to 1e-5."""
    leaving = P.copy()
    np.fill_diagonal(leaving, 0.0)
    # the diagonal of 1 − P without a subtraction
    system = np.diag(leaving.sum(axis=1)) - leaving.T
    system[-1] = 1.0
    factors, pivots, failed = scipy.linalg.lapack.dgetrf(system, overwrite_a=False)
    condition, _ = scipy.linalg.lapack.dgecon(factors, np.abs(system).sum(axis=0).max())
    if failed or not condition > 1e-11:
        return None
    wanted = np.zeros(len(P))
    wanted[-1] = 1.0
    found, _ = scipy.linalg.lapack.dgetrs(factors, pivots, wanted)
    law: np.ndarray = np.maximum(found, 0.0)
    result: np.ndarray | None = law / law.sum()
    return result


def _reduced(P: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """π by state reduction (Grassmann, Taksar, Heyman 1985).

    No subtraction occurs, so every entry keeps its relative accuracy, however small it is. Destroys P.
    """
    size = len(P)
    for k in range(size - 1, 0, -1):
        low = reach[k]
        out = P[k, low:k].sum()
        P[low:k, k] /= out
        P[low:k, low:k] += np.outer(P[low:k, k], P[k, low:k])
    weights = np.zeros(size)
    weights[0] = 1.0
    for k in range(1, size):
        low = reach[k]
        weights[k] = weights[low:k] @ P[low:k, k]
        if weights[k] > 1e200:
            weights[: k + 1] /= weights[k]
    total: np.ndarray = weights / weights.sum()
    return total
