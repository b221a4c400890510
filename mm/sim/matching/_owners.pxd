# The owners of resting orders: for each account with a resting order, the slots of its orders, in no particular order.

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, realloc

from mm.sim.matching._index cimport Index, index_drop, index_find, index_put, index_reserve
from mm.sim.matching._pool cimport NONE, Pool, pool_close, pool_give, pool_open, pool_reserve, pool_take

cdef struct Owner:
    int32_t spare           # next free slot, used by the pool
    int32_t used            # number of resting orders
    int32_t room
    int32_t* slots          # slots of the orders
    int64_t account

cdef struct Owners:
    Pool pool
    Index by_account        # its keys are negative: ~account


cdef inline Owner* owner_at(const Owners* owners, int32_t owner) noexcept nogil:
    return <Owner*> owners.pool.items + owner


cdef inline void owners_open(Owners* owners) noexcept nogil:
    pool_open(&owners.pool, sizeof(Owner))
    owners.by_account.entries = NULL
    owners.by_account.mask = owners.by_account.used = 0


cdef inline void owners_close(Owners* owners) noexcept nogil:
    cdef int32_t owner
    for owner in range(owners.pool.made):
        free(owner_at(owners, owner).slots)
    pool_close(&owners.pool)
    free(owners.by_account.entries)


cdef inline int32_t owner_of(const Owners* owners, int64_t account) noexcept nogil:
    """NONE if the account has no resting order."""
    return index_find(&owners.by_account, ~account)


cdef inline int resize(Owner* owner, int32_t room) except -1 nogil:
    cdef int32_t* slots = <int32_t*> realloc(owner.slots, room * sizeof(int32_t))
    if slots is NULL:
        with gil:
            raise MemoryError(f"no memory for {room} orders of one account")
    owner.slots = slots
    owner.room = room
    return 0


cdef inline int32_t owner_reserve(Owners* owners, int64_t account) except -2 nogil:
    """Return the owner of an account's orders, created if necessary, with room for one more order."""
    cdef int32_t owner = owner_of(owners, account)
    cdef bint fresh
    if owner == NONE:
        index_reserve(&owners.by_account)
        pool_reserve(&owners.pool, 1)
        fresh = owners.pool.spare == NONE
        owner = pool_take(&owners.pool)
        if fresh:
            owner_at(owners, owner).slots = NULL
            owner_at(owners, owner).room = 0
        owner_at(owners, owner).used = 0
        owner_at(owners, owner).account = account
        index_put(&owners.by_account, ~account, owner)
    if owner_at(owners, owner).used == owner_at(owners, owner).room:
        resize(owner_at(owners, owner), 2 * owner_at(owners, owner).room + 4)
    return owner


cdef inline int32_t owner_add(Owner* owner, int32_t slot) noexcept nogil:
    """Add an order to its owner, which has reserved room; return its index there."""
    owner.slots[owner.used] = slot
    owner.used += 1
    return owner.used - 1


cdef inline int32_t owner_remove(Owners* owners, int32_t number, int32_t place) noexcept nogil:
    """Remove the order at index *place*; return the slot of the order moved there, NONE if there is none."""
    cdef Owner* owner = owner_at(owners, number)
    cdef int32_t moved = NONE
    owner.used -= 1
    if place < owner.used:
        moved = owner.slots[place] = owner.slots[owner.used]
    if owner.used == 0:
        index_drop(&owners.by_account, ~owner.account)
        pool_give(&owners.pool, number)
    return moved
