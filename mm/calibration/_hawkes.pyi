# Generated from mm/calibration/_hawkes.pyx by `make stubs`; edit that file instead.

"""The likelihood of a two-dimensional Hawkes process, its gradient and its Hessian, in one pass.

The intensity of process i at t is

    mu_i + sum over j, m of n_ijm · beta_m · sum over events u < t of j: exp(-beta_m · (t - u)).

The sums over events are carried from instant to instant (Ozaki, Maximum likelihood estimation of Hawkes' self-exciting
point processes, Ann. Inst. Statist. Math. 31, 1979), with those weighted by (t - u) and (t - u)², which are their
derivatives by beta; a pass costs the number of instants.
"""

import numpy as np
from numpy.typing import NDArray

MOST_KERNELS: int
BEGIN: int
END: int
PROBE: int

def likelihood(
    at_s: NDArray[np.float64],
    kind: NDArray[np.int8],
    mu: NDArray[np.float64],
    branching: NDArray[np.float64],
    beta: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return the log-likelihood, its gradient and its Hessian, by mu_i, n_ijm and ln beta_m, in this order.

    Events count only while exposed, but always excite. Events of one instant do not excite each other. If an intensity
    is zero at an event the likelihood is -inf, with zero gradient and Hessian.

    Args:
        at_s: float64[n], instants in s, non-decreasing.
        kind: int8[n], 0 and 1 for an event of the process, ``BEGIN`` and ``END`` of exposure.
        mu: float64[2], 1/s.
        branching: float64[2, 2, m], mean number of events of i excited by one event of j through kernel m.
        beta: float64[m], 1/s; at most ``MOST_KERNELS``.
    """

def rescaled(
    at_s: NDArray[np.float64],
    kind: NDArray[np.int8],
    mu: NDArray[np.float64],
    branching: NDArray[np.float64],
    beta: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return at each row the integrated intensity of both processes (float64[n, 2]), and their intensity before it.

    The integral is over the exposed time up to the row; the parameters are those of ``likelihood``.
    """

def integrals(
    at_s: NDArray[np.float64],
    kind: NDArray[np.int8],
    mu: NDArray[np.float64],
    branching: NDArray[np.float64],
    beta: NDArray[np.float64],
    excited: NDArray[np.float64],
    since_s: float,
) -> NDArray[np.float64]:
    """Return at each ``PROBE`` the integrated intensity of both processes, and the exposed time (float64[q, 3]).

    Both start at the first row. The result at a probe is bit-identical with or without other probes and later rows.
    Time is not exposed before the first ``BEGIN``.

    Args:
        at_s, kind, mu, branching, beta: As for `likelihood`; *kind* may also be ``PROBE``.
        excited: float64[2, m], sums of exp(-beta·(*since_s* - u)) over the events before the first row, by process;
            updated to the last event or end of exposure.
        since_s: Instant of the given *excited*, in s; not after the first row.
    """
