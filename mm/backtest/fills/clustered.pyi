# Generated from mm/backtest/fills/clustered.pyx by `make stubs`; edit that file instead.

"""Clustered fills: lambda(delta) times the relative intensity of a Hawkes process driven by recorded orders.

The conditional intensity of a Hawkes process (Hawkes, Biometrika 58, 1971) with exponential kernels decays between the
orders that excite it, so its integral has a closed form; the inverse needs a few Newton steps from below.
"""

from collections.abc import Mapping

from mm.backtest.fills.clustering import Clustering
from mm.backtest.fills.intensity import Intensity, Poisson
from mm.backtest.parameters import Declaration

class ClusteredFills(Poisson):
    """An order fills as under `poisson`, with an intensity that each recorded aggressive order raises temporarily.

    - the intensity is lambda(delta) · lambda_i(t)/mean_i, i the side of the order: lambda_i is the intensity of
      orders that hit side i, given all recorded ones up to t; mean_i is its mean, or that of the segment if given
    - an order of the process is a sweep, the prints of one side and trade time; its instant is that of its first print
      in the window of the tape, in exchange time if the run uses that clock
    - each of them begins a new stretch for both sides, as a change of the reference does
    - one unit exponential draw per side and stretch, keyed by the event that began it; the fill happens when the
      integrated intensity reaches it, if the stretch lasts that long
    - without excitation the fills equal those of `poisson`

    Args:
        intensity: A and k or a curve, constant or by segments, which may have means of the process.
        clustering: The process.
        seed: Seed of all draws.
    """

    declared: Declaration
    def __init__(self, intensity: Intensity, clustering: Clustering, seed: int = 0) -> None: ...

def hawkes(
    *,
    A: float | None = None,
    k: float | None = None,
    bid: Mapping[str, float] | None = None,
    ask: Mapping[str, float] | None = None,
    clustering: Mapping[str, object] | None = None,
    intensity: Intensity | None = None,
    seed: int = 0,
) -> ClusteredFills:
    """Return ``ClusteredFills`` for an intensity, given as for ``poisson``, and a clustering.

    Raises:
        UsageError: If the intensity is missing or given in more than one form, or there is no clustering.
        BrokenFile: If the clustering of a fit is invalid.
        FitError: If the clustering of a fit is not usable.
    """
