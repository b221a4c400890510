# Large pages for large buffers, where the system supports them (fewer page faults and TLB misses), and prefetching of
# memory before it is read or written.

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #if defined(__linux__)
    #include <sys/mman.h>
    #endif
    static inline void mm_prefer_large_pages(void *start, size_t bytes) {
    #if defined(__linux__) && defined(MADV_HUGEPAGE)
        uintptr_t from = ((uintptr_t) start + 4095) & ~(uintptr_t) 4095;
        uintptr_t to = ((uintptr_t) start + bytes) & ~(uintptr_t) 4095;
        if (to > from && bytes >= (4u << 20))
            madvise((void *) from, to - from, MADV_HUGEPAGE);  /* a hint: errors do not matter */
    #else
        (void) start; (void) bytes;
    #endif
    }
    """
    void prefer_large_pages "mm_prefer_large_pages"(void* start, size_t bytes) noexcept nogil


cdef extern from *:
    """
    #if defined(__GNUC__)
    #define mm_prefetch(place) __builtin_prefetch(place)
    #define mm_prefetch_write(place) __builtin_prefetch(place, 1)
    #else
    #define mm_prefetch(place) ((void) (place))
    #define mm_prefetch_write(place) ((void) (place))
    #endif
    """
    void prefetch "mm_prefetch"(const void* place) noexcept nogil
    void prefetch_write "mm_prefetch_write"(void* place) noexcept nogil
