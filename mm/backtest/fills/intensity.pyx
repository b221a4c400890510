# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""lambda(delta) = A exp(-k delta) over time: pieces of constant A and k, per side."""

from libc.math cimport exp
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from mm.errors import UsageError

REFERENCES = ("mid", "micro", "best")
FOREVER = 0x7FFFFFFFFFFFFFFF


cdef class Intensity:
    """A and k, constant or by segments; outside all segments the intensity is 0.

    Args:
        pieces: Tuples ``(start_us, end_us, A_bid, k_bid, A_ask, k_ask, k)`` in order of time, not
            overlapping; A in 1/s per resting order, k in 1/tick, the last k is that of both sides.
        reference: What distances are measured from: ``mid``, ``micro`` or ``best``.
    """

    def __cinit__(self, pieces: object, reference: str = "mid") -> None:
        pieces = list(pieces)
        if reference not in REFERENCES:
            raise UsageError(f"intensity: reference is {reference!r}; it must be one of {', '.join(REFERENCES)}")
        self.reference = reference
        self.count = len(pieces)
        self.pieces = <Piece*> calloc(self.count + 1, sizeof(Piece))
        if self.pieces is NULL:
            raise MemoryError("no memory for the pieces of an intensity")
        last_us = -1
        for i, (start_us, end_us, A_bid, k_bid, A_ask, k_ask, k) in enumerate(pieces):
            if start_us < last_us or end_us <= start_us:
                raise UsageError(f"intensity: piece {i + 1} covers {start_us} to {end_us}; pieces must follow each other")
            if not (A_bid >= 0 and A_ask >= 0 and k_bid > 0 and k_ask > 0 and k > 0):
                raise UsageError(
                    f"intensity: piece {i + 1} has A {A_bid}, {A_ask} and k {k_bid}, {k_ask}; "
                    f"A must be 0 or more and k above 0"
                )
            self.pieces[i] = Piece(start_us, end_us, A_bid, k_bid, A_ask, k_ask, k)
            last_us = end_us

    def __dealloc__(self) -> None:
        free(self.pieces)

    @classmethod
    def constant(cls, double A, double k, str reference="mid") -> "Intensity":
        """Return one A and k for both sides and all time."""
        return cls([(0, FOREVER, A, k, A, k, k)], reference)

    def at(self, int64_t us, int64_t side, double delta) -> float:
        """Return the intensity in 1/s at an instant for an order of *side* at *delta* ticks."""
        return self.rate(self.find(us), side, delta)

    def rows(self) -> list:
        """Return the pieces as they were given."""
        cdef Piece* one
        found = []
        for i in range(self.count):
            one = &self.pieces[i]
            found.append((one.start_us, one.end_us, one.A_bid, one.k_bid, one.A_ask, one.k_ask, one.k))
        return found

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
            return self.pieces[piece].A_bid * exp(-self.pieces[piece].k_bid * delta)
        return self.pieces[piece].A_ask * exp(-self.pieces[piece].k_ask * delta)
