# cython: cdivision=True
# The agenda of a market: the next instant of all that we do, one slot a cause; whoever changes a slot does so here.
#
# Messages act before the market of their instant, everything else after it, in the order of the slots.

from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport NEVER

cdef struct Agenda:
    int64_t message_us      # an arrival, cancel, amendment or expiry of an order
    int64_t fill_us         # a drawn fill, or an order of the market that meets ours
    int64_t margin_us       # a mark price at which our position may be liquidated
    int64_t sample_us       # the volatility
    int64_t state_us        # a row of the state
    int64_t follow_us       # a requote that follows on a fill, a rejection, an end of an order or a move of the best prices
    int64_t wake_us         # one that the model's last answer asked for
    int64_t followed_us     # the last one of these two kinds
    int64_t requote_us      # the next one of the grid
    int64_t step_us         # between two of these
    bint driven             # whether all after the market but fills and marks waits for `Engine.step`
    int64_t held_us         # then, between two steps: the next one of the grid, and *requote_us* is NEVER
    int64_t after_us        # the earliest after the market but for the grid's requote, kept as it is read for each event


cdef inline void agenda_open(Agenda* agenda) noexcept nogil:
    agenda.message_us = agenda.fill_us = agenda.margin_us = agenda.sample_us = agenda.state_us = NEVER
    agenda.follow_us = agenda.wake_us = agenda.requote_us = agenda.after_us = NEVER
    agenda.followed_us, agenda.driven, agenda.held_us = -1, False, NEVER


cdef inline void agenda_changed(Agenda* agenda) noexcept nogil:
    """Find the earliest again, after a slot between the messages and the grid's requotes has changed."""
    cdef int64_t grid_us = min(agenda.sample_us, agenda.state_us), call_us = min(agenda.follow_us, agenda.wake_us)
    agenda.after_us = min(agenda.fill_us, agenda.margin_us)
    if not agenda.driven:
        agenda.after_us = min(agenda.after_us, min(grid_us, call_us))


cdef inline void agenda_follow(Agenda* agenda, int64_t us) noexcept nogil:
    """Requote at the end of an instant, once."""
    agenda.follow_us = us
    agenda_changed(agenda)


cdef inline void agenda_watch(Agenda* agenda, int64_t us) noexcept nogil:
    agenda.margin_us = us
    agenda_changed(agenda)


cdef inline int64_t requote_from(const Agenda* agenda, int64_t us) noexcept nogil:
    """The grid's first remaining requote at or after an instant; NEVER for NEVER."""
    cdef int64_t next_us = agenda.requote_us
    if us <= next_us or us == NEVER:
        return max(us, next_us)
    return us + (agenda.step_us - 1 - (us - next_us - 1) % agenda.step_us)


cdef inline void agenda_hold(Agenda* agenda) noexcept nogil:
    """Let the requotes of a driven engine wait for its next step."""
    agenda.held_us, agenda.requote_us = agenda.requote_us, NEVER
    agenda_changed(agenda)


cdef inline void pass_requotes(Agenda* agenda, int64_t us) noexcept nogil:
    """Skip the grid's requotes before an instant, which would send nothing."""
    cdef int64_t next_us = agenda.requote_us, step_us = agenda.step_us
    if next_us >= us:
        return
    if us - next_us > 8 * step_us:
        next_us += (us - next_us - 1) // step_us * step_us
    while next_us < us:  # mostly a few steps: a division would cost more than all the rest
        next_us += step_us
    agenda.requote_us = next_us
