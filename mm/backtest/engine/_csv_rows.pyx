# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Rows of whole numbers as the text of a CSV file, with exact decimals.

Why compiled: a day has half a million order rows, the text of which is most of what a backtest writes
(``mm bench engine``, shell to written files). What a column means is declared in `mm.backtest.io`.
"""

from array import array
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from mm._decimals cimport put_decimal, put_signed, put_whole, wide_t

import numpy as np
from mm.base.arithmetic import greatest
from mm.errors import MMError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm.base.code_identity import HashedFile

cdef enum:
    CHUNK = 1 << 22  # bytes; the interpreter's lock, for which another thread may compete, is taken once per chunk
    NUMBER = 48      # more than the digits, sign, point and comma of a number of 128 bits
    MOST_CELLS = 24
    MOST_TERMS = 3

cdef enum:
    WHOLE, INSTANT, WORD, AMOUNT


cdef struct Term:
    wide_t unit
    Py_ssize_t first, second  # columns; -1 for none


cdef struct Cell:
    int kind
    Py_ssize_t column         # of a whole number, an instant, a code, or the mark that must be above 0 for an amount
    int64_t per, code, names  # divisor; the code of the first name, and their number
    const char* text
    const int64_t* ends       # name i is text[ends[i]:ends[i + 1]]
    Term[MOST_TERMS] terms
    int used, places
    wide_t start


cdef inline char* put_amount(char* p, const int64_t* row, const Cell* cell) noexcept nogil:
    cdef wide_t value = cell.start
    cdef wide_t product
    cdef int i
    for i in range(cell.used):
        product = row[cell.terms[i].first]
        if cell.terms[i].second >= 0:
            product *= row[cell.terms[i].second]
        value += product * cell.terms[i].unit
    return put_decimal(p, value, cell.places)


cdef inline char* put_cell(char* p, const int64_t* row, const Cell* cell) noexcept nogil:
    """NULL for a code without a name."""
    cdef int64_t value = row[cell.column] if cell.column >= 0 else 1
    cdef int64_t size
    if cell.kind == AMOUNT:
        return put_amount(p, row, cell) if value > 0 else p
    if cell.kind == INSTANT:
        return put_whole(p, <uint64_t> (value // cell.per)) if value >= 0 else p
    if cell.kind == WHOLE:
        return put_signed(p, value)
    value -= cell.code
    if value < 0:
        return p
    if value >= cell.names:
        return NULL
    size = cell.ends[value + 1] - cell.ends[value]
    memcpy(p, cell.text + cell.ends[value], <size_t> size)
    return p + size


cdef Py_ssize_t fill_chunk(
    char* start, const int64_t[:, ::1] rows, Py_ssize_t* row, const Cell* cells, int count
) noexcept nogil:
    """Append rows from *row* on until the chunk is full or the table ends; return the bytes, -1 for an unknown code."""
    cdef char* p = start
    cdef int i
    while row[0] < rows.shape[0] and p - start < CHUNK:
        for i in range(count):
            p = put_cell(p, &rows[row[0], 0], &cells[i])
            if p is NULL:
                return -1
            p[0] = c","
            p += 1
        (p - 1)[0] = c"\n"
        row[0] += 1
    return p - start


cdef class CsvRows:
    """The format of the rows of a table: its cells, in the order in which they are added.

    A column is the place of a number in a row.
    """

    cdef Cell[MOST_CELLS] cells
    cdef int count
    cdef list kept, amounts
    cdef Py_ssize_t longest  # bytes of a row, at most
    cdef bytearray buffer

    def __cinit__(self) -> None:
        self.kept, self.amounts = [], []

    cdef Cell* added(self, int kind, Py_ssize_t column, Py_ssize_t longest) except NULL:
        cdef Cell* cell
        if self.count == MOST_CELLS:
            raise MMError(f"a table has more than {MOST_CELLS} columns; raise MOST_CELLS")
        cell = &self.cells[self.count]
        cell.kind, cell.column = kind, column
        self.count += 1
        self.longest += longest
        return cell

    def whole(self, column: int) -> None:
        self.added(WHOLE, column, NUMBER)

    def instant(self, column: int, per: int) -> None:
        """Divided by *per* and rounded down; empty below 0."""
        self.added(INSTANT, column, NUMBER).per = per

    def word(self, column: int, names: Sequence[str], code: int) -> None:
        """*code* is the first name's; below it the cell is empty."""
        cdef const int64_t[::1] view
        cdef Cell* cell
        words = [name.encode() for name in names]
        text, ends = b"".join(words), array("q", accumulate(map(len, words), initial=0))
        self.kept += [text, ends]  # C points at them
        view = ends
        cell = self.added(WORD, column, 1 + max(map(len, words), default=0))
        cell.code, cell.names, cell.text, cell.ends = code, len(words), text, &view[0]

    def amount(self, terms: Sequence[Sequence[int]], places: int, start: int, mark: int) -> None:
        """Add a decimal, empty where the column *mark* is not above 0.

        Args:
            terms: One to three: a unit, in 10**-places, and the one or two columns whose product is multiplied by it.
            places: Decimal places, up to 19.
            start: Added to the sum of the terms, in 10**-places.
            mark: A column; -1 for an amount that is always there.
        """
        cdef Cell* cell = self.added(AMOUNT, mark, NUMBER)
        cell.places, cell.used, cell.start = places, len(terms), wide(start)
        for i, (unit, first, *second) in enumerate(terms):
            cell.terms[i].unit, cell.terms[i].first = wide(unit), first
            cell.terms[i].second = second[0] if second else -1
        self.amounts.append((start, terms))

    def write(self, file: HashedFile, const int64_t[:, ::1] rows) -> None:
        """Append the text of *rows* to *file*.

        Raises:
            MMError: If a code has no name, or an amount does not fit into 128 bits.
        """
        cdef Py_ssize_t row = 0
        cdef Py_ssize_t used
        cdef char* start
        for begin, terms in self.amounts:
            if reach(begin, terms, [2**63] * rows.shape[1]) >= 2**127:
                check_reach(begin, terms, np.asarray(rows))
        if self.buffer is None:
            self.buffer = bytearray(CHUNK + self.longest)
        start = self.buffer
        while row < rows.shape[0]:
            with nogil:
                used = fill_chunk(start, rows, &row, self.cells, self.count)
            if used < 0:
                raise MMError(
                    f"a row of a table has a code without a name: {np.asarray(rows[row]).tolist()}; the engine and "
                    f"mm.backtest.journal are of different versions, build again"
                )
            file.write(memoryview(self.buffer)[:used])


cdef wide_t wide(value) except? -1:
    """A Python integer of up to 127 bits and a sign."""
    cdef wide_t high = <int64_t> (value >> 64)
    cdef wide_t low = <uint64_t> (value & 0xFFFFFFFFFFFFFFFF)
    return high * (<wide_t> 1 << 64) + low


cdef reach(start, terms, sizes):
    """The greatest possible amount, if the columns are at most *sizes*."""
    return abs(start) + sum(abs(unit) * prod(sizes[column] for column in columns) for unit, *columns in terms)


cdef int check_reach(start, terms, rows) except -1:
    most = reach(start, terms, [greatest(column) for column in rows.T])
    if most >= 2**127:
        raise MMError(f"an amount of the tables has up to {most:.1e} of its last decimal place, more than 128 bits hold")
    return 0
