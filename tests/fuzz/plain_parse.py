"""The parsers of `mm.tape._parse` in plain Python, byte by byte: slow, strict, and visible to coverage."""

from math import gcd

MOST = 2**63 - 1
_BLANKS = (0x20, 0x09, 0x0D)
_NUMBERS = ("recv_ms", "recv_us", "recv_seq", "E", "T", "U", "u")
_TRUE, _FALSE = (b"1", b"true", b"True"), (b"0", b"false", b"False")
SKIP, INT, PRICE, QTY, FLAG, WORD = range(6)
OPTIONAL = 8


class Refused(Exception):
    """A line is malformed."""


class OffTick(Exception):
    """A price is off the given step."""


class Cursor:
    """A position in one line, which ends with a newline."""

    def __init__(self, line):
        self.line, self.at = line + b"\n", 0

    @property
    def end(self):
        return self.at >= len(self.line) - 1

    def sign(self):
        return self.line[self.at]

    def blank(self):
        while self.sign() in _BLANKS:
            self.at += 1

    def take(self, sign):
        self.blank()
        if self.sign() != sign[0]:
            return False
        self.at += 1
        return True

    def need(self, sign):
        if not self.take(sign):
            raise Refused(sign)

    def until(self, sign):
        """Return the bytes up to *sign*, and step over it."""
        found_at = self.line.find(sign, self.at, len(self.line) - 1)
        if found_at < 0:
            raise Refused(sign)
        text, self.at = self.line[self.at : found_at], found_at + 1
        return text

    def digits(self):
        begin = self.at
        while 0x30 <= self.sign() <= 0x39:
            self.at += 1
        return self.line[begin : self.at]

    def whole(self):
        digits = self.digits()
        if not 0 < len(digits) <= 18:
            raise Refused("whole number")
        return int(digits)

    def decimal(self):
        """Return a plain decimal in 1e-8."""
        whole, places = self.digits(), b""
        if not 0 < len(whole) <= 11:
            raise Refused("decimal")
        if self.sign() == 0x2E:
            self.at += 1
            places = self.digits()
            if places[8:].strip(b"0"):
                raise Refused("too fine")
        value = int(whole) * 10**8 + int(places[:8].ljust(8, b"0"))
        if value > MOST:
            raise Refused("too large")
        return value

    def past_value(self):
        """Step over any JSON value, to the comma or brace after it."""
        depth = 0
        while not self.end:
            sign = self.sign()
            if sign == 0x22:
                self.at += 1
                while not self.end and self.sign() != 0x22:
                    self.at += 2 if self.sign() == 0x5C else 1
            elif sign in b"[{":
                depth += 1
            elif depth == 0 and sign in b",}":
                return
            elif sign in b"]}":
                depth -= 1
            self.at += 1
        raise Refused("value")


class Steps:
    """The step of prices or quantities: given, or the greatest that divides all."""

    def __init__(self, step, *, fixed):
        self.step, self.fixed = step, fixed

    def holds(self, value):
        if self.fixed:
            return value % self.step == 0
        self.step = gcd(self.step, value)
        return True


class Plain:
    """The common part of both parsers."""

    def __init__(self, tick_e8=0):
        self.price, self.qty = Steps(tick_e8, fixed=tick_e8 > 0), Steps(0, fixed=False)
        self.words = []
        self.lines = 0

    def read(self, text):
        """Read complete lines; return the incomplete one at the end."""
        *complete, torn = text.split(b"\n")
        for line in complete:
            self.lines += 1
            cursor = Cursor(line)
            cursor.blank()
            if cursor.at < len(line):
                self.row(Cursor(line))
        return torn

    def word(self, text):
        if len(text) > 64:
            raise Refused("word")
        word = text.decode("utf-8", "replace")
        if word not in self.words:
            self.words.append(word)
        return self.words.index(word)


class PlainDiffs(Plain):
    """Depth messages: the *numbers* of each, its last row, and its rows in 1e-8."""

    def __init__(self, tick_e8=0, *, lenient=False):
        super().__init__(tick_e8)
        self.lenient = lenient
        self.numbers, self.rows, self.left_out = [], [], 0

    def row(self, cursor):
        values, rows = {}, []
        cursor.need(b"{")
        while True:
            cursor.need(b'"')
            key = cursor.until(b'"').decode("latin-1")
            cursor.need(b":")
            cursor.blank()
            if key in ("b", "a"):
                self.levels(cursor, 1 if key == "b" else -1, rows)
                values[key] = True
            elif key == "run_id":
                if cursor.sign() != 0x22:
                    raise Refused("run id")
                cursor.at += 1
                values[key] = self.word(cursor.until(b'"'))
            elif key in _NUMBERS:
                values[key] = cursor.whole()
            else:
                cursor.past_value()
            if cursor.take(b"}"):
                break
            cursor.need(b",")
        cursor.blank()
        if not cursor.end or not {"U", "u", "b", "a"} <= values.keys() or not values.keys() & {"recv_us", "recv_ms"}:
            raise Refused("keys")
        us = values["recv_us"] if "recv_us" in values else values["recv_ms"] * 1000
        if us > MOST:
            raise Refused("recv_ms")
        self.rows += rows
        if values.get("T", 0) > 0:
            values["E"] = values["T"]
        self.numbers.append(
            (us, *(values.get(key, -1) for key in ("recv_seq", "run_id", "E", "U", "u")), len(self.rows))
        )

    def levels(self, cursor, side, rows):
        cursor.need(b"[")
        if cursor.take(b"]"):
            return
        while True:
            cursor.need(b"[")
            cursor.need(b'"')
            price = cursor.decimal()
            if cursor.sign() != 0x22 or price == 0:
                raise Refused("price")
            good = self.price.holds(price)
            if not good and not self.lenient:
                raise OffTick(price)
            cursor.at += 1
            cursor.need(b",")
            cursor.need(b'"')
            qty = cursor.decimal()
            if cursor.sign() != 0x22:
                raise Refused("quantity")
            cursor.at += 1
            cursor.need(b"]")
            if good:
                self.qty.holds(qty)
                rows.append((side, price, qty))
            self.left_out += not good
            if not cursor.take(b","):
                break
        cursor.need(b"]")


class PlainTable(Plain):
    """A CSV table: *cells* of the requested columns, row by row."""

    def __init__(self, columns, tick_e8=0):
        super().__init__(tick_e8)
        self.columns, self.names, self.cells = columns, [], []

    def row(self, cursor):
        if not self.names:
            text = cursor.line[:-1].decode("utf-8", "replace").removeprefix("\ufeff")
            names = [name.strip() for name in text.split(",")]
            for name, cell in self.columns.items():
                if names.count(name) > 1 or (not cell & OPTIONAL and name not in names):
                    raise Refused(name)
            self.names = names
            return
        row = dict.fromkeys(self.columns, -1)
        for number, name in enumerate(self.names):
            if number:
                cursor.need(b",")
            if name in row:
                self.cell(cursor, self.columns[name], name, row)
            else:
                while not cursor.end and cursor.sign() != 0x2C:
                    cursor.at += 1
        cursor.blank()
        if not cursor.end:
            raise Refused("end")
        self.cells += row.values()

    def cell(self, cursor, cell, name, row):
        if cell & OPTIONAL and (cursor.end or cursor.sign() in b",\r"):
            return
        kind = cell & ~OPTIONAL
        if kind == INT:
            row[name] = cursor.whole()
        elif kind in (PRICE, QTY):
            value = row[name] = cursor.decimal()
            if kind == PRICE and value == 0:
                raise Refused("price")
            if not (self.price if kind == PRICE else self.qty).holds(value):
                raise OffTick(value)
        else:
            begin = cursor.at
            while not cursor.end and cursor.sign() not in b",\r":
                cursor.at += 1
            text = cursor.line[begin : cursor.at]
            if not text or (kind == FLAG and text not in _TRUE + _FALSE):
                raise Refused("word")
            row[name] = int(text in _TRUE) if kind == FLAG else self.word(text)
