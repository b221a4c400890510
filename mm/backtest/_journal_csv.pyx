# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Write a journal's tables as CSV files: exact decimals, directly from integers.

- Layers: number formatting on raw pointers; one row function per table; one loop for all tables.
- A decimal has eight places; a column has more only if its unit (tick·lot, half a tick) needs
  them, and then the same number in every row. No value is converted to a float.
- Amounts are computed in 128 bits: exact up to 10**20 units of the asset.
- Empty fields: an instant below 0, a code of -1, a side of 0, and an amount that needs a mid
  while there is none.
"""

from array import array
from itertools import accumulate
from typing import BinaryIO

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from mm._decimals cimport PAIRS, put_decimal, put_eight, put_signed, put_whole, wide_t

from mm.backtest.journal import ACTIONS, CANCEL_REASONS, REJECT_REASONS, STATUSES
from mm.backtest.journal import FILL_COLUMNS, ORDER_COLUMNS, STATE_COLUMNS
from mm.code_identity import HashedFile
from mm.errors import MMError

ORDER_FILE = (
    "recv_ms", "order_id", "action", "status", "side", "price", "qty", "remaining_qty",
    "active_recv_ms", "expire_recv_ms", "cancel_req_ms", "cancel_effective_ms", "reject_reason", "cancel_reason",
    "recv_us", "active_recv_us", "cancel_effective_us", "expire_recv_us",
)  # fmt: skip
FILL_FILE = ("recv_ms", "order_id", "side", "price", "qty", "fee", "reason", "recv_us", "mid", "inventory_after")
STATE_FILE = ("recv_ms", "inventory", "cash", "mid", "mtm_value", "open_orders", "recv_us", "equity")

cdef enum:
    CHUNK = 1 << 22  # bytes; the interpreter's lock is acquired at the end of each chunk
    NUMBERS = 1024  # more than the digits, signs, points and commas of any row

cdef int64_t FIRST_OF_16 = 10**15

# Columns of the journal's tables, by position.
cdef enum:
    O_US, O_ID, O_ACTION, O_STATUS, O_SIDE, O_TICKS, O_LOTS, O_REMAINING
    O_ACTIVE, O_EXPIRE, O_CANCEL_REQ, O_CANCEL_EFFECTIVE, O_REJECT, O_CANCEL, O_WIDTH
cdef enum:
    F_US, F_ID, F_SIDE, F_TICKS, F_LOTS, F_FEE, F_REASON, F_MID2, F_INVENTORY, F_WIDTH
cdef enum:
    S_US, S_INVENTORY, S_CASH, S_FEES, S_MID2, S_OPEN, S_WIDTH


cdef struct Words:
    const char* text
    const int64_t* ends  # word i is text[ends[i]:ends[i + 1]]


cdef struct Units:
    wide_t tick, lot                      # 1e-8
    wide_t half_tick                      # of 10**-mid_places
    wide_t start_cash, cash_tl, fee       # of 10**-cash_places
    wide_t mtm, cash_to_equity            # of 10**-mtm_places
    int mid_places, cash_places, mtm_places
    Words actions, statuses, rejects, cancels, reasons


ctypedef char* (*PutRow)(char*, const int64_t*, const Units*) noexcept nogil


cdef inline char* put_product(char* p, int64_t count, wide_t unit) noexcept nogil:
    """Append count·unit with eight places: a price from ticks, a quantity from lots."""
    cdef wide_t value = count
    value *= unit
    return put_decimal(p, value, 8)


cdef inline bint has_16_digits(int64_t us) noexcept nogil:
    """Return whether an instant in µs has 16 digits: years 2001 to 2286."""
    return FIRST_OF_16 <= us < 10 * FIRST_OF_16


cdef inline char* put_ms(char* p, int64_t us) noexcept nogil:
    cdef uint64_t ms = <uint64_t>us // 1000
    cdef uint32_t high = <uint32_t>(ms // 100000000)
    if has_16_digits(us):  # ms then has 13 digits: five and eight, without counting them
        p[0] = <char>(48 + high // 10000)
        memcpy(p + 1, PAIRS + 2 * (high // 100 % 100), 2)
        memcpy(p + 3, PAIRS + 2 * (high % 100), 2)
        return put_eight(p + 5, <uint32_t>(ms % 100000000))
    return p if us < 0 else put_whole(p, ms)


cdef inline char* put_us(char* p, int64_t us, const char* ms) noexcept nogil:
    """Append *us*; its whole milliseconds were written at *ms* before."""
    cdef uint32_t rest = <uint32_t>(us % 1000)
    if has_16_digits(us):  # the first 13 are already written
        memcpy(p, ms, 13)
        p[13] = <char>(48 + rest // 100)
        memcpy(p + 14, PAIRS + 2 * (rest % 100), 2)
        return p + 16
    return p if us < 0 else put_whole(p, <uint64_t>us)


cdef inline char* put_word(char* p, int64_t code, const Words* words) noexcept nogil:
    cdef int64_t size
    if code < 0:
        return p
    size = words.ends[code + 1] - words.ends[code]
    memcpy(p, words.text + words.ends[code], <size_t>size)
    return p + size


cdef inline char* put_side(char* p, int64_t side) noexcept nogil:
    if side > 0:
        memcpy(p, b"BUY", 3)
        return p + 3
    if side < 0:
        memcpy(p, b"SELL", 4)
        return p + 4
    return p


cdef inline char* put_mid(char* p, int64_t mid2, const Units* units) noexcept nogil:
    cdef wide_t value = mid2
    if mid2 <= 0:
        return p
    value *= units.half_tick
    return put_decimal(p, value, units.mid_places)


cdef inline char* comma(char* p) noexcept nogil:
    p[0] = c","
    return p + 1


cdef char* put_order(char* p, const int64_t* row, const Units* units) noexcept nogil:
    cdef char* at = p
    cdef char* active
    cdef char* expire
    cdef char* effective
    p = comma(put_ms(p, row[O_US]))
    p = comma(put_signed(p, row[O_ID]))
    p = comma(put_word(p, row[O_ACTION], &units.actions))
    p = comma(put_word(p, row[O_STATUS], &units.statuses))
    p = comma(put_side(p, row[O_SIDE]))
    p = comma(put_product(p, row[O_TICKS], units.tick))
    p = comma(put_product(p, row[O_LOTS], units.lot))
    p = comma(put_product(p, row[O_REMAINING], units.lot))
    active = p
    p = comma(put_ms(p, row[O_ACTIVE]))
    expire = p
    p = comma(put_ms(p, row[O_EXPIRE]))
    p = comma(put_ms(p, row[O_CANCEL_REQ]))
    effective = p
    p = comma(put_ms(p, row[O_CANCEL_EFFECTIVE]))
    p = comma(put_word(p, row[O_REJECT], &units.rejects))
    p = comma(put_word(p, row[O_CANCEL], &units.cancels))
    p = comma(put_us(p, row[O_US], at))
    p = comma(put_us(p, row[O_ACTIVE], active))
    p = comma(put_us(p, row[O_CANCEL_EFFECTIVE], effective))
    return put_us(p, row[O_EXPIRE], expire)


cdef char* put_fill(char* p, const int64_t* row, const Units* units) noexcept nogil:
    cdef char* at = p
    p = comma(put_ms(p, row[F_US]))
    p = comma(put_signed(p, row[F_ID]))
    p = comma(put_side(p, row[F_SIDE]))
    p = comma(put_product(p, row[F_TICKS], units.tick))
    p = comma(put_product(p, row[F_LOTS], units.lot))
    p = comma(put_product(p, row[F_FEE], 1))
    p = comma(put_word(p, row[F_REASON], &units.reasons))
    p = comma(put_us(p, row[F_US], at))
    p = comma(put_mid(p, row[F_MID2], units))
    return put_product(p, row[F_INVENTORY], units.lot)


cdef char* put_state(char* p, const int64_t* row, const Units* units) noexcept nogil:
    cdef wide_t cash = row[S_CASH]
    cdef wide_t fees = row[S_FEES]
    cdef wide_t value = row[S_INVENTORY]
    cdef char* at = p
    cash *= units.cash_tl
    fees *= units.fee
    cash += units.start_cash
    cash -= fees
    value *= row[S_MID2]
    value *= units.mtm
    p = comma(put_ms(p, row[S_US]))
    p = comma(put_product(p, row[S_INVENTORY], units.lot))
    p = comma(put_decimal(p, cash, units.cash_places))
    p = comma(put_mid(p, row[S_MID2], units))
    if row[S_MID2] > 0:
        p = put_decimal(p, value, units.mtm_places)
    p = comma(p)
    p = comma(put_signed(p, row[S_OPEN]))
    p = comma(put_us(p, row[S_US], at))
    if row[S_MID2] > 0:
        cash *= units.cash_to_equity
        cash += value
        p = put_decimal(p, cash, units.mtm_places)
    return p


cdef Py_ssize_t fill_chunk(
    char* start, const int64_t[:, ::1] rows, Py_ssize_t* row, PutRow put, const Units* units
) noexcept nogil:
    """Format rows from *row* on until the chunk is full or the table ends; return the bytes."""
    cdef char* p = start
    while row[0] < rows.shape[0] and p - start < CHUNK:
        p = put(p, &rows[row[0], 0], units)
        p[0] = c"\n"
        p += 1
        row[0] += 1
    return p - start


cdef int write_table(file, header, pieces, Py_ssize_t width, columns, PutRow put, const Units* units, longest) except -1:
    cdef const int64_t[:, ::1] rows
    buffer, head = bytearray(CHUNK + NUMBERS + longest), ",".join(header).encode() + b"\n"
    for rows in pieces:
        check_width(rows, width, columns)
        file.write(head)
        head = b""
        write_rows(file, rows, put, units, buffer)
    return 0


cdef int write_rows(file, const int64_t[:, ::1] rows, PutRow put, const Units* units, bytearray buffer) except -1:
    cdef Py_ssize_t row = 0
    cdef Py_ssize_t used
    cdef char* start = buffer
    while row < rows.shape[0]:
        with nogil:
            used = fill_chunk(start, rows, &row, put, units)
        file.write(memoryview(buffer)[:used])
    return 0


cdef Py_ssize_t first_unknown(const int64_t[:, ::1] rows, Py_ssize_t column, int64_t count) noexcept nogil:
    """Return the first row whose code is neither -1 nor one of *count*; the number of rows if there is none."""
    cdef Py_ssize_t row
    for row in range(rows.shape[0]):
        if rows[row, column] < -1 or rows[row, column] >= count:
            return row
    return rows.shape[0]


cdef class Labels:
    """The names of one code column, in memory that C can read."""

    cdef bytes text
    cdef object ends
    cdef const int64_t[::1] view
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t longest

    def __cinit__(self, labels: Iterable[str]) -> None:
        words = [label.encode() for label in labels]
        self.text = b"".join(words)
        self.ends = array("q", accumulate(map(len, words), initial=0))
        self.view = self.ends
        self.count = len(words)
        self.longest = max(map(len, words), default=0)

    cdef Words words(self, const int64_t[:, ::1] rows, Py_ssize_t column, name, Py_ssize_t before=0) except *:
        """Return the C view, after checking that every code of the column is an index into it, or -1.

        *before* is the number of rows of the table before these.
        """
        cdef Words words
        cdef Py_ssize_t row
        with nogil:
            row = first_unknown(rows, column, self.count)
        if row < rows.shape[0]:
            raise MMError(
                f"journal row {before + row}: {name} code {rows[row, column]} is not one of the {self.count} known; "
                f"engine and mm.backtest.journal are of different versions: build again"
            )
        words.text = self.text
        words.ends = &self.view[0]
        return words


cdef int check_width(const int64_t[:, ::1] rows, Py_ssize_t width, columns) except -1:
    if rows.shape[1] != width or len(columns) != width:
        raise MMError(f"journal table has {rows.shape[1]} columns, not {width} ({', '.join(columns)})")
    return 0


def places_of(unit: int, places: int) -> tuple[int, int]:
    """Return *unit*, in 10**-places, and *places*, reduced to as few as it needs, but at least eight."""
    while places > 8 and unit % 10 == 0:
        unit, places = unit // 10, places - 1
    return unit, places


cdef Units units_of(tick_e8, lot_e8, start_cash_e8, multiplier=1) except *:
    cdef Units units
    half_tick, mid_places = places_of(tick_e8 * 5, 9)
    cash_tl, cash_places = places_of(tick_e8 * lot_e8 * multiplier, 16)
    mtm, mtm_places = places_of(tick_e8 * lot_e8 * multiplier * 5, 17)
    fee = 10 ** (cash_places - 8)
    units.tick, units.lot = <int64_t>tick_e8, <int64_t>lot_e8
    units.half_tick, units.mid_places = <int64_t>half_tick, mid_places
    units.cash_tl, units.cash_places = <int64_t>cash_tl, cash_places
    units.mtm, units.mtm_places = <int64_t>mtm, mtm_places
    units.fee = <int64_t>fee
    units.start_cash = <int64_t>start_cash_e8
    units.start_cash *= units.fee
    # The unit of mtm is half that of cash: its places are never fewer.
    units.cash_to_equity = <int64_t>(10 ** (mtm_places - cash_places))
    return units


def write_orders(file: BinaryIO | HashedFile, pieces: Iterable[NDArray[np.int64]], tick_e8: int, lot_e8: int) -> int:
    """Write the order rows of a journal, given in *pieces*, to *file*; return the number of rows."""
    cdef Units units = units_of(tick_e8, lot_e8, 0)
    cdef Labels actions = Labels(ACTIONS)
    cdef Labels statuses = Labels(STATUSES)
    cdef Labels rejects = Labels(REJECT_REASONS)
    cdef Labels cancels = Labels(CANCEL_REASONS)
    cdef const int64_t[:, ::1] orders
    buffer, head, rows = bytearray(CHUNK + NUMBERS), ",".join(ORDER_FILE).encode() + b"\n", 0
    for orders in pieces:
        check_width(orders, O_WIDTH, ORDER_COLUMNS)
        units.actions = actions.words(orders, O_ACTION, "action", rows)
        units.statuses = statuses.words(orders, O_STATUS, "status", rows)
        units.rejects = rejects.words(orders, O_REJECT, "reject_reason", rows)
        units.cancels = cancels.words(orders, O_CANCEL, "cancel_reason", rows)
        file.write(head)
        head = b""
        write_rows(file, orders, put_order, &units, buffer)
        rows += orders.shape[0]
    return rows


def write_fills(
    file: BinaryIO | HashedFile, const int64_t[:, ::1] fills, tick_e8: int, lot_e8: int, reasons: Iterable[str]
) -> None:
    """Write the fill rows of a journal to *file*; *reasons* are the names of their codes."""
    cdef Units units = units_of(tick_e8, lot_e8, 0)
    cdef Labels labels = Labels(reasons)
    check_width(fills, F_WIDTH, FILL_COLUMNS)
    units.reasons = labels.words(fills, F_REASON, "fill reason")
    write_table(file, FILL_FILE, [fills], F_WIDTH, FILL_COLUMNS, put_fill, &units, labels.longest)


def write_state(
    file: BinaryIO | HashedFile,
    pieces: Iterable[NDArray[np.int64]],
    tick_e8: int,
    lot_e8: int,
    start_cash_e8: int,
    multiplier: int = 1,
) -> None:
    """Write the state rows of a journal, given in *pieces*, to *file*; cash starts at *start_cash_e8*."""
    cdef Units units = units_of(tick_e8, lot_e8, start_cash_e8, multiplier)
    write_table(file, STATE_FILE, pieces, S_WIDTH, STATE_COLUMNS, put_state, &units, 0)
