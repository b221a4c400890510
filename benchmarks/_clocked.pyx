# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""A clock around every command of the matching core, in process, called from another kernel."""

from libc.stdint cimport int64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from mm.sim.matching._core cimport OP_CANCEL, OP_REDUCE, OP_SUBMIT, STP_NONE, Matching


cdef inline int64_t now_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1000000000 + now.tv_nsec


def clocked(Matching matching, const int64_t[:, ::1] commands, int64_t[::1] took_ns) -> None:
    """Execute rows as ``Matching.run`` does, and record the duration of each in ns, including the clock's own.

    Args:
        matching: The book.
        commands: int64[n, 8], as for `Matching.run`.
        took_ns: int64[n], filled.
    """
    cdef const int64_t* row
    cdef int64_t at, began
    if commands.shape[1] != 8 or took_ns.shape[0] != commands.shape[0]:
        raise ValueError(f"commands of {commands.shape[0]} × {commands.shape[1]}, took_ns of {took_ns.shape[0]}: not n × 8 and n")
    for at in range(commands.shape[0]):
        row = &commands[at, 0]
        began = now_ns()
        if row[1] == OP_SUBMIT:
            matching.place(row[0], row[2], row[3], row[4], row[5], row[6], row[7])
        elif row[1] == OP_CANCEL:
            matching.withdraw(row[0], row[7])
        elif row[1] == OP_REDUCE:
            matching.shrink(row[0], row[7], row[5])
        else:
            matching.renew(row[0], row[7], row[4], row[5], row[6], STP_NONE)
        took_ns[at] = now_ns() - began


def clock_alone(int64_t[::1] took_ns) -> None:
    """Record the time between two consecutive readings of the clock, in ns."""
    cdef int64_t at, began
    for at in range(took_ns.shape[0]):
        began = now_ns()
        took_ns[at] = now_ns() - began
