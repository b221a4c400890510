# Lots as users' models see and send them: order steps of the instrument. A tape may count in a fraction of that step,
# because recorded books hold finer quantities; how fine depends on the day, so nothing that a model sees may.

from libc.math cimport fmin, isfinite
from libc.stdint cimport int64_t


cdef inline object lots_shown(int64_t lots, int64_t step_lots):
    """Return lots of a tape in order steps: an int, or a float for a quantity that is finer than the step."""
    if step_lots == 1:
        return lots
    return lots // step_lots if lots % step_lots == 0 else <double> lots / <double> step_lots


cdef inline int64_t lots_given(object lots, int64_t step_lots) except? -1:
    """Return a quantity in order steps as lots of a tape, rounded down; -2 if it is none.

    A float that is whole but for rounding, such as 0.3 / 0.1, is whole.
    """
    cdef double given
    if isinstance(lots, float):
        given = lots
        if not isfinite(given) or given < 0.0 or given * <double> step_lots > 4e18:
            return -2
        return <int64_t> (given + 1e-9 * fmin(given, 1e6)) * step_lots
    if not hasattr(lots, "__index__"):
        return -2
    whole = lots.__index__()
    return min(whole, ((<int64_t> 1 << 62) - 1) // step_lots) * step_lots if 0 <= whole < <int64_t> 1 << 62 else -2
