# The prices with resting orders: a tree of pages with 64 entries each, over all prices below 2**42.
#
# A bit is set if an entry is in use; its child is a page of the next depth, or at the lowest depth a level. So the
# nearest price above or below another is found in at most 13 steps at any distance, and memory does not grow with the
# range of prices. Both sides share the tree, since a book is never crossed: below a bid there are only bids.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from mm.sim.matching._pool cimport NONE, Pool, pool_close, pool_give, pool_open, pool_reserve, pool_take

cdef extern from *:
    """
    #define mm_lowest(bits) __builtin_ctzll(bits)
    #define mm_highest(bits) (63 - __builtin_clzll(bits))
    """
    int lowest "mm_lowest"(uint64_t bits) noexcept nogil
    int highest "mm_highest"(uint64_t bits) noexcept nogil

cdef enum:
    ROOT = 0
    PAGES_OF_A_PATH = 6     # pages of a path below the root

cdef struct Level:
    int32_t head            # first in the queue
    int32_t tail
    int32_t page            # page with its bit
    int32_t side
    int64_t ticks
    int64_t lots            # total of its orders

cdef struct Page:
    int32_t parent
    int32_t at              # index in the parent
    uint64_t bits
    int32_t[64] child

cdef struct Ladder:
    Pool levels
    Pool pages


cdef inline Level* level_at(const Ladder* ladder, int32_t level) noexcept nogil:
    return <Level*> ladder.levels.items + level


cdef inline Page* page_at(const Ladder* ladder, int32_t page) noexcept nogil:
    return <Page*> ladder.pages.items + page


cdef inline int ladder_open(Ladder* ladder) except -1 nogil:
    pool_open(&ladder.levels, sizeof(Level))
    pool_open(&ladder.pages, sizeof(Page))
    pool_reserve(&ladder.pages, 1)
    new_page(ladder, NONE, 0)
    return 0


cdef inline void ladder_close(Ladder* ladder) noexcept nogil:
    pool_close(&ladder.levels)
    pool_close(&ladder.pages)


cdef inline int ladder_reserve(Ladder* ladder) except -1 nogil:
    """Make room for one more level; only here do addresses of levels change."""
    pool_reserve(&ladder.levels, 1)
    return pool_reserve(&ladder.pages, PAGES_OF_A_PATH)


cdef inline int32_t new_page(Ladder* ladder, int32_t parent, int at) noexcept nogil:
    cdef int32_t page = pool_take(&ladder.pages)
    page_at(ladder, page).parent = parent
    page_at(ladder, page).at = at
    page_at(ladder, page).bits = 0
    return page


cdef inline bint has(const Page* page, int at) noexcept nogil:
    return (page.bits >> at) & 1


cdef inline void hang(Page* page, int at, int32_t child) noexcept nogil:
    page.bits |= <uint64_t> 1 << at
    page.child[at] = child


cdef inline int32_t lowest_page(Ladder* ladder, int64_t key) noexcept nogil:
    """Return the lowest page of *key* (64 prices), NONE if none of its prices has a level."""
    cdef int32_t page = ROOT
    cdef int shift
    for shift in range(30, -6, -6):
        if not has(page_at(ladder, page), (key >> shift) & 63):
            return NONE
        page = page_at(ladder, page).child[(key >> shift) & 63]
    return page


cdef inline int32_t ladder_find(Ladder* ladder, int64_t ticks) noexcept nogil:
    """NONE if the price has no level."""
    cdef int32_t page = lowest_page(ladder, ticks >> 6)
    if page == NONE or not has(page_at(ladder, page), ticks & 63):
        return NONE
    return page_at(ladder, page).child[ticks & 63]


cdef inline int32_t make_path(Ladder* ladder, int64_t key) noexcept nogil:
    """Return the lowest page of *key* (64 prices), creating missing pages of its path."""
    cdef int32_t page = ROOT, child
    cdef int shift, at
    for shift in range(30, -6, -6):
        at = (key >> shift) & 63
        if not has(page_at(ladder, page), at):
            child = new_page(ladder, page, at)
            hang(page_at(ladder, page), at, child)
        page = page_at(ladder, page).child[at]
    return page


cdef inline int32_t ladder_add(Ladder* ladder, int side, int64_t ticks) noexcept nogil:
    """Return a new, empty level at a price without one; room must be reserved."""
    cdef int32_t number = pool_take(&ladder.levels)
    cdef Level* level = level_at(ladder, number)
    level.head = level.tail = NONE
    level.side = side
    level.ticks = ticks
    level.lots = 0
    level.page = lowest_page(ladder, ticks >> 6)
    if level.page == NONE:
        level.page = make_path(ladder, ticks >> 6)
    hang(page_at(ladder, level.page), ticks & 63, number)
    return number


cdef inline void ladder_drop(Ladder* ladder, int32_t number) noexcept nogil:
    """And pages that become empty."""
    cdef int32_t page = level_at(ladder, number).page, parent
    cdef int at = level_at(ladder, number).ticks & 63
    pool_give(&ladder.levels, number)
    page_at(ladder, page).bits &= ~(<uint64_t> 1 << at)
    while page_at(ladder, page).bits == 0 and page != ROOT:
        parent = page_at(ladder, page).parent
        at = page_at(ladder, page).at
        pool_give(&ladder.pages, page)
        page = parent
        page_at(ladder, page).bits &= ~(<uint64_t> 1 << at)


cdef inline int32_t ladder_next(const Ladder* ladder, int32_t number, int side) noexcept nogil:
    """Return the next level below (side +1) or above (side -1) another, NONE if there is none."""
    cdef int32_t page = level_at(ladder, number).page
    cdef int at = level_at(ladder, number).ticks & 63
    cdef int depth = 0
    cdef uint64_t bits
    while True:
        bits = page_at(ladder, page).bits
        bits &= (<uint64_t> 1 << at) - 1 if side > 0 else ~((<uint64_t> 2 << at) - 1)
        if bits:
            break
        if page == ROOT:
            return NONE
        at = page_at(ladder, page).at
        page = page_at(ladder, page).parent
        depth += 1
    at = highest(bits) if side > 0 else lowest(bits)
    while depth:
        page = page_at(ladder, page).child[at]
        bits = page_at(ladder, page).bits
        at = highest(bits) if side > 0 else lowest(bits)
        depth -= 1
    return page_at(ladder, page).child[at]
