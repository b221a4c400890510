"""Calls of a user's model, timed: see _calls.pyx."""

from libc.stdint cimport int64_t

cdef int64_t begin_call(object model, const char* hook) noexcept
cdef int end_call(object model, const char* hook, int64_t before) except -1
