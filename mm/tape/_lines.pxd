# What both parsers are made of: columns that grow, words with numbers, and lines out of pieces.

from libc.stdint cimport INT32_MAX, int32_t, int64_t

from mm.tape._scan cimport Grid

cdef class Column:
    cdef object array
    cdef char* data  # of the array
    cdef Py_ssize_t used, room, width
    cdef int grow(self, Py_ssize_t room) except -1
    cdef int reserve(self, Py_ssize_t more) except -1 nogil
    cdef int hold(self, array) except -1
    cdef int remake(self, Py_ssize_t items, int64_t times, Py_ssize_t width) except -1
    cdef inline void add(self, int64_t value) noexcept nogil:
        (<int64_t*> self.data)[self.used] = value
        self.used += 1
    cdef inline int put(self, Py_ssize_t at, int64_t value) except -1 nogil:
        """Write an item behind those that count; all before it were written."""
        if self.width == 4:
            if value <= INT32_MAX:
                (<int32_t*> self.data)[at] = <int32_t> value
                return 0
            with gil:
                self.remake(at, 1, 8)
        (<int64_t*> self.data)[at] = value
        return 0

cdef enum:
    LONGEST_WORD = 64  # bytes
    RECENT = 4  # words found again without Python

cdef struct Recent:
    char text[LONGEST_WORD]
    Py_ssize_t size
    int64_t code

cdef class Words:
    cdef readonly list words
    cdef Recent[RECENT] recent
    cdef int oldest
    cdef int64_t code(self, const char* text, Py_ssize_t size) except -2 nogil

cdef class LineParser:
    cdef readonly str name
    cdef readonly int64_t lines
    cdef Grid price_grid, qty_grid
    cdef Words seen
    cdef bytes tail
    cdef const char* start  # of the line at work
    cdef const char* end    # its newline
    cdef const char* run(self, const char* start, const char* end) except NULL
    cdef int line(self) except -1 nogil
    cdef int fail(self, const char* at, const char* wanted) except -1 nogil
    cdef int refuse_price(self, const char* at, int64_t price) except -1 nogil
