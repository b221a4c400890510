# Generated from mm/backtest/fills/clustered.pyx by `make stubs`; edit that file instead.

"""Fills that cluster: lambda(delta) times what the recorded orders make of the intensity of further ones.

The conditional intensity of a Hawkes process (Hawkes, Biometrika 58, 1971) with exponential kernels falls between the
orders that excite it, so that its integral is a closed form, and its inverse a Newton step or a few from below.
"""

from collections.abc import Mapping

from mm.backtest.fills.clustering import Clustering
from mm.backtest.fills.intensity import Intensity, Poisson
from mm.backtest.parameters import Declaration

class ClusteredFills(Poisson):
    """An order fills as under `poisson`, with an intensity that each recorded aggressive order raises for a while.

    - the intensity is lambda(delta) · lambda_i(t)/mean_i, i the side of the order: lambda_i is that of the process of
      orders that hit side i, after all recorded ones up to t, mean_i its mean, or that of the segment, if it has one
    - an order of the process is a sweep: prints of one side and trade time, counted at the first one that the tape has
      in its window, by the exchange's clock where the run plays that
    - each of them begins a new stretch for both sides, as a change of the reference does
    - one unit exponential draw for each side and stretch, keyed by what began it; the fill happens where the integrated
      intensity reaches it, if the stretch lasts that long
    - where no order excites another this is `poisson`, fill by fill

    Args:
        intensity: A and k or a curve, constant or by segments, which may have means of the process.
        clustering: The process.
        seed: Keys every draw.
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
    """Return the ``ClusteredFills`` of an intensity, given as to ``poisson``, and of a clustering.

    Raises:
        UsageError: If there is no fitted number, or more than one form of them, or no clustering.
        BrokenFile: If the clustering of a fit cannot be.
        FitError: If the clustering of a fit is not usable.
    """
