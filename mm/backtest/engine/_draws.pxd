# Random draws by key: equal keys give equal draws, in any order (docs/specification/engine.md).

from libc.stdint cimport uint64_t


cdef inline uint64_t mixed(uint64_t z) noexcept nogil:
    z += <uint64_t> 0x9E3779B97F4A7C15
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EB
    return z ^ (z >> 31)


cdef inline double uniform(uint64_t seed, uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    """In (0, 1)."""
    cdef uint64_t h = mixed(mixed(mixed(mixed(seed) ^ a) ^ b) ^ c)
    return min((<double> (h >> 11) + 0.5) / 9007199254740992.0, 0.9999999999999999)  # the largest h rounds to 1
