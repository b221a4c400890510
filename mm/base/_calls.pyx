# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The time that calls of a user's models take: counted everywhere, limited in a trade and a shadow.

Each hook of a Python model begins and ends here. A trader keeps the running call in memory shared with its guardian,
which thus sees a call that holds the interpreter and ends the process from outside: a handler in C needs no
interpreter. A call in Python code is interrupted by a timer, which raises `CallStopped` in it.
"""

import signal
import threading

from libc.stdint cimport int64_t
from libc.string cimport memset, strlen, strncpy
from posix.signal cimport sigaction, sigaction_t, sigemptyset
from posix.time cimport CLOCK_MONOTONIC, ITIMER_REAL, clock_gettime, itimerval, setitimer, timespec
from posix.unistd cimport _exit, write

from mm.base.user_code import CallStopped
from mm.errors import ModelError, Sentence

cdef extern from *:
    """
    #define class_name(model) (Py_TYPE(model)->tp_name)
    """
    const char* class_name(object model) noexcept

cdef enum:
    MODEL_BYTES = 64
    HOOK_BYTES = 32
    MESSAGE_BYTES = 1024

cdef struct Shared:
    int64_t beat_ns  # last sign of life of the event loop
    int64_t call_ns  # begin of the running call or step; 0 outside
    int64_t exit_code  # with which a hung process ends
    int64_t depth  # whether the running call is a hook
    char[MODEL_BYTES] model
    char[HOOK_BYTES] hook
    char[MESSAGE_BYTES] message

cdef Shared own
cdef Shared* shared = &own
cdef object kept = None  # the memory that *shared* points into
cdef int64_t slow_ns = 1_000_000_000
cdef bint limited = False
cdef dict slow = {}

SHARED_BYTES = 4 * 8 + 64 + 32 + 1024  # type: int
ENDING = int(signal.SIGUSR2)  # type: int
"""The signal at which a process with `end_at_signal` ends from a handler in C."""
DEFAULT_LIMIT_S = 1.0
STOP_S = 0.2
"""Time that a call has, in s, once the run is to end."""


cdef inline int64_t now_ns() noexcept nogil:
    cdef timespec at
    clock_gettime(CLOCK_MONOTONIC, &at)
    return <int64_t> at.tv_sec * 1_000_000_000 + at.tv_nsec


cdef inline void set_timer(int64_t after_ns) noexcept nogil:
    """SIGALRM after a time, then every 0.1 s; 0: not any more."""
    cdef itimerval timer
    timer.it_value.tv_sec = after_ns // 1_000_000_000
    timer.it_value.tv_usec = after_ns % 1_000_000_000 // 1_000
    timer.it_interval.tv_sec = 0
    timer.it_interval.tv_usec = 100_000 if after_ns else 0
    setitimer(ITIMER_REAL, &timer, NULL)


cdef int64_t begin_call(object model, const char* hook) noexcept:
    """Return what `end_call` needs."""
    cdef int64_t before = shared.call_ns
    if shared != &own:  # only a guardian reads the names
        strncpy(shared.model, class_name(model), MODEL_BYTES - 1)
        strncpy(shared.hook, hook, HOOK_BYTES - 1)
    shared.depth += 1
    shared.call_ns = now_ns()
    if limited:
        set_timer(slow_ns)
    return before


cdef int end_call(object model, const char* hook, int64_t before) except -1:
    """Raises ModelError if the call took longer than a limit allows."""
    cdef int64_t now = now_ns(), took_ns = now - shared.call_ns
    shared.depth -= 1
    shared.call_ns = now if before else 0
    if limited:
        set_timer(0)
    if took_ns <= slow_ns:
        return 0
    label = f"{type(model).__name__}.{hook.decode()}"
    count, longest_s = slow.get(label, (0, 0.0))
    slow[label] = (count + 1, max(longest_s, took_ns / 1e9))
    if limited:
        raise too_slow(label, took_ns)
    return 0


cdef int64_t STOP_NS = <int64_t> (STOP_S * 1e9)


cdef object too_slow(str label, int64_t took_ns):
    return ModelError(
        Sentence(
            "{} took {:.2f} s, more than the {:g} s of {model_call_limit_s}; make it faster, or raise the limit",
            label,
            took_ns / 1e9,
            slow_ns / 1e9,
        )
    )


def begin_step(name: str) -> None:
    """Of an engine that may call the compiled model *name*."""
    cdef bytes text = name.encode()[: MODEL_BYTES - 1]
    strncpy(shared.model, text, MODEL_BYTES - 1)
    strncpy(shared.hook, b"step", HOOK_BYTES - 1)
    shared.call_ns = now_ns()


def end_step(name: str) -> None:
    """End a step; ModelError if the time since its last hook, or in all, exceeds a limit."""
    cdef int64_t took_ns = now_ns() - shared.call_ns if shared.call_ns else 0
    shared.call_ns = 0
    if limited and took_ns > slow_ns:
        raise too_slow(f"a step of {name}", took_ns)


def clear_step() -> None:
    shared.call_ns = 0


def limit_calls(limit_s: float | None) -> None:
    """End calls in this process after *limit_s*; None only counts those over the default.

    Only the main thread can be interrupted; elsewhere, and while a call holds the interpreter, it raises at the call's
    end.
    """
    global slow_ns, limited
    slow_ns = <int64_t> ((DEFAULT_LIMIT_S if limit_s is None else limit_s) * 1e9)
    limited = limit_s is not None and threading.current_thread() is threading.main_thread()
    if limited:
        signal.signal(signal.SIGALRM, _late)
    elif threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGALRM) is _late:
        set_timer(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _late(number: int, frame: object) -> None:
    if shared.depth > 0:
        raise CallStopped


def stop_calls() -> None:
    """End the running call soon, because the run is to end; callable from a signal handler."""
    if limited and shared.depth > 0:
        set_timer(STOP_NS)


def slow_calls() -> dict[str, tuple[int, float]]:
    """Return the hooks over the limit since the last call: how often, and the longest, s."""
    found = dict(slow)
    slow.clear()
    return found


def share(memory: memoryview | None) -> None:
    """Keep the running call in *memory*, of `SHARED_BYTES`; None: in this process."""
    global shared, kept
    cdef unsigned char[::1] view
    if memory is None:
        shared, kept = &own, None
        return
    view = memory
    memset(&view[0], 0, sizeof(Shared))
    kept = memory
    shared = <Shared*> &view[0]


def beat() -> None:
    shared.beat_ns = now_ns()


cdef void end_here(int number) noexcept nogil:
    """With a handler in C, also while a call holds the interpreter."""
    cdef size_t length = strlen(shared.message)
    if length:
        write(2, shared.message, length)
    _exit(<int> shared.exit_code)


def end_at_signal() -> None:
    """Let `ENDING` end the process with the shared memory's exit code and message."""
    cdef sigaction_t action
    memset(&action, 0, sizeof(action))
    action.sa_handler = <void (*)(int) noexcept> end_here
    sigemptyset(&action.sa_mask)
    sigaction(<int> ENDING, &action, NULL)


def read_shared(memory: memoryview) -> dict[str, int | str]:
    """Return ``beat_ns``, ``call_ns``, ``depth``, ``label`` of another process's shared memory."""
    cdef const unsigned char[::1] view = memory
    cdef const Shared* there = <const Shared*> &view[0]
    label = f"{there.model.decode(errors='replace')}.{there.hook.decode(errors='replace')}"
    return {"beat_ns": there.beat_ns, "call_ns": there.call_ns, "depth": there.depth, "label": label}


def order_end(memory: memoryview, code: int, message: str) -> None:
    """Write exit code and message for a process that shares *memory*; `ENDING` then ends it."""
    cdef unsigned char[::1] view = memory
    cdef Shared* there = <Shared*> &view[0]
    cdef bytes text = message.encode()[: MESSAGE_BYTES - 1]
    strncpy(there.message, text, MESSAGE_BYTES - 1)
    there.exit_code = code
