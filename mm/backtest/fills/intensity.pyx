# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""lambda(delta) = A exp(-k delta) over time: pieces of constant A and k, per side."""

from libc.math cimport NAN, exp, isnan
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from mm.backtest.fills.intensity_piece import IntensityPiece
from mm.errors import UsageError

REFERENCES = ("mid", "micro", "best")
FOREVER = 0x7FFFFFFFFFFFFFFF


cdef double fill_rate(double A, double k, double delta) noexcept nogil:
    """Return A exp(-k delta), and A for a negative delta: nearer than the reference nothing was measured."""
    return A * exp(-k * delta) if delta > 0.0 else A


cdef class Intensity:
    """A and k, constant or by segments; outside all segments the intensity is 0.

    Args:
        pieces: The segments in order of time, not overlapping; A in 1/s per resting order, k in 1/tick.
        reference: What distances are measured from: ``mid``, ``micro`` or ``best``.
    """

    def __cinit__(self, pieces: Iterable[IntensityPiece], reference: str = "mid") -> None:
        pieces = [IntensityPiece(*piece) for piece in pieces]
        if reference not in REFERENCES:
            raise UsageError(f"intensity: reference is {reference!r}; it must be one of {', '.join(REFERENCES)}")
        self.reference = reference
        self.count = len(pieces)
        self.pieces = <Piece*> calloc(self.count + 1, sizeof(Piece))
        if self.pieces is NULL:
            raise MemoryError("no memory for the pieces of an intensity")
        last_us = -1
        for i, one in enumerate(pieces):
            if one.start_us < last_us or one.end_us <= one.start_us:
                raise UsageError(
                    f"intensity: piece {i + 1} covers {one.start_us} to {one.end_us}; pieces must follow each other"
                )
            if not (one.A_bid >= 0 and one.A_ask >= 0 and one.k_bid > 0 and one.k_ask > 0 and one.k > 0):
                raise UsageError(
                    f"intensity: piece {i + 1} has A {one.A_bid}, {one.A_ask} and k {one.k_bid}, {one.k_ask}; "
                    f"A must be 0 or more and k above 0"
                )
            self.pieces[i].start_us = one.start_us
            self.pieces[i].end_us = one.end_us
            self.pieces[i].A_bid = one.A_bid
            self.pieces[i].k_bid = one.k_bid
            self.pieces[i].A_ask = one.A_ask
            self.pieces[i].k_ask = one.k_ask
            self.pieces[i].k = one.k
            self.pieces[i].sigma_ticks = NAN if one.sigma_ticks is None else one.sigma_ticks
            last_us = one.end_us
        self.given = pieces

    def __dealloc__(self) -> None:
        free(self.pieces)

    @classmethod
    def constant(cls, double A, double k, str reference="mid", sigma_ticks: float | None = None) -> "Intensity":
        """Return one A and k for both sides and all time."""
        return cls([IntensityPiece(0, FOREVER, A, k, A, k, k, sigma_ticks)], reference)

    def at(self, int64_t us, int64_t side, double delta) -> float:
        """Return the intensity in 1/s at an instant for an order of *side* at *delta* ticks."""
        return self.rate(self.find(us), side, delta)

    def sigma_at(self, int64_t us) -> float | None:
        """Return the volatility in ticks/√s of the piece in force at an instant; None where it is not known."""
        cdef int64_t piece = self.find(us)
        if piece >= self.count or self.pieces[piece].start_us > us or isnan(self.pieces[piece].sigma_ticks):
            return None
        return self.pieces[piece].sigma_ticks

    def rows(self) -> list[IntensityPiece]:
        """Return the pieces as they were given."""
        return list(self.given)

    cdef int64_t find(self, int64_t us) noexcept nogil:
        """Return the first piece that ends after *us*; ``count`` where there is none."""
        cdef int64_t low = 0, high = self.count, middle
        while low < high:
            middle = (low + high) >> 1
            if self.pieces[middle].end_us <= us:
                low = middle + 1
            else:
                high = middle
        return low

    cdef double rate(self, int64_t piece, int64_t side, double delta) noexcept nogil:
        """Return the intensity of a piece in 1/s, whatever the instant."""
        if piece >= self.count:
            return 0.0
        if side > 0:
            return fill_rate(self.pieces[piece].A_bid, self.pieces[piece].k_bid, delta)
        return fill_rate(self.pieces[piece].A_ask, self.pieces[piece].k_ask, delta)
