"""Signals in plain Python, from the files of a day folder: CSV and NDJSON by the standard library, without a tape.

Each value is recomputed from all events so far, with sets, lists and sums; only events are stored between rows.
Prices are ticks and quantities lots, as integers.
"""

import csv
import gzip
import itertools
import json
import math
import re
from bisect import bisect_right
from decimal import Decimal

WINDOW = re.compile(r"(.*?)_?(\d+)(ms|s|e)$")


def read_day(path):
    """Return tick and lot as decimals, and the events in the order of receipt: (kind, us, seq, content)."""
    rules = {one["filterType"]: one for one in json.loads((path / "instrument.json").read_text())["filters"]}
    tick, lot = Decimal(rules["PRICE_FILTER"]["tickSize"]), Decimal(rules["LOT_SIZE"]["stepSize"])
    rows = []
    for row in table(path, "events_*.csv"):
        rows.append((int(row["recv_seq"]), "ledger", row))
    for row in table(path, "trades_ws_*.csv"):
        rows.append((int(row["recv_seq"]), "trade", row))
    for file in path.glob("diffs/*.ndjson*"):
        with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
            rows += [(one["recv_seq"], "diff", one) for one in map(json.loads, lines)]
    rows.sort(key=lambda row: row[0])
    return tick, lot, list(in_order(path, rows, tick, lot))


def table(path, pattern):
    for file in path.glob(pattern):
        with gzip.open(file, "rt", newline="") if file.suffix == ".gz" else file.open(newline="") as lines:
            yield from csv.DictReader(lines)


def in_order(path, rows, tick, lot):
    """Yield the events of a market: a diff received before its snapshot follows it."""
    waiting, last = [], None
    for seq, source, row in rows:
        if source == "trade":
            side = -1 if row["is_buyer_maker"] == "true" else 1
            yield "trade", int(row["recv_time_us"]), seq, (side, whole(row["price"], tick), whole(row["qty"], lot))
        elif source == "diff":
            if last is None:
                waiting.append((seq, row))
            elif row["U"] > last + 1:
                last, waiting = None, [(seq, row)]
                yield "gap", row["recv_us"], seq, None
            elif row["u"] > last:
                last = row["u"]
                yield "diff", row["recv_us"], seq, levels(row, tick, lot)
        elif row["type"] in ("resync_start", "run_start"):
            last, waiting = None, waiting if row["type"] == "resync_start" else []
            yield "gap", int(row["recv_time_us"]), seq, None
        elif row["type"] == "snapshot_loaded":
            us, details = int(row["recv_time_us"]), json.loads(row["details_json"])
            last = details["last_update_id"]
            found = [(one["side"], one["price"], one["qty"]) for one in table(path, details["path"])]
            book = [(1 if side == "bid" else -1, whole(p, tick), whole(q, lot)) for side, p, q in found]
            yield "snapshot", us, seq, book
            for number, diff in waiting:
                if diff["u"] > last:
                    last = diff["u"]
                    yield "diff", us, number, levels(diff, tick, lot)
            waiting = []


def whole(text, step):
    count = Decimal(text) / step
    assert count == int(count), (text, step)
    return int(count)


def levels(diff, tick, lot):
    both = ((1, diff["b"]), (-1, diff["a"]))
    return [(side, whole(p, tick), whole(q, lot)) for side, rows in both for p, q in rows]


class PlainMarket:
    """Market state: events since the snapshot, and since both sides are present."""

    def __init__(self, tick, lot, micro=None):
        self.tick, self.lot, self.micro = tick, lot, micro
        self.valid = False

    def take(self, kind, us, content):
        """Apply an event; return True if it makes a row."""
        self.us = us
        if kind == "gap":
            self.valid = False
        elif kind == "snapshot":
            self.sides = {1: {}, -1: {}}
            self.change(content)
            if self.valid:  # repeated snapshot of a recorder without a gap
                self.now = self.best(20)
                if self.path is None:
                    self.begin_path()
                return False
            self.valid, self.epoch, self.prints, self.cancels, self.since = True, us, [], [], []
            self.before, self.now = None, self.best(20)
            self.begin_path()
        elif kind == "trade" and self.valid:
            self.prints.append((us, *content))
            self.since.append(content)
        elif kind == "diff" and self.valid:
            self.cancels.append((us, self.vanished(content)))
            self.since = []
            self.before = self.now
            self.change(content)
            self.now = self.best(20)
            if all(self.now) and self.now[0][0][0] >= self.now[1][0][0]:
                self.valid = False
                return False
            if not all(self.now):
                self.path = None
            elif not all(self.before):
                self.begin_path()
                self.path["defined"].append((us, None, None))
            else:
                self.path["mids"].append((us, self.mid2))
                self.path["defined"].append((us, self.before, self.now))
            return True
        return False

    def begin_path(self):
        self.path = {"us": self.us, "mids": [(self.us, self.mid2)], "defined": []} if all(self.now) else None

    def change(self, rows):
        for side, ticks, lots in rows:
            self.sides[side][ticks] = lots
            if not lots:
                del self.sides[side][ticks]

    def best(self, count):
        return [
            [(one, self.sides[side][one]) for one in sorted(self.sides[side], reverse=side > 0)[:count]]
            for side in (1, -1)
        ]

    @property
    def mid2(self):
        return self.now[0][0][0] + self.now[1][0][0]

    def vanished(self, rows):
        near = {(side, ticks): lots for side, own in zip((1, -1), self.now, strict=True) for ticks, lots in own[:10]}
        total = 0
        for side, ticks, lots in rows:
            gone = near.get((side, ticks), 0) - lots
            gone -= (
                sum(one for aggressor, at, one in self.since if (-aggressor, at) == (side, ticks)) if gone > 0 else 0
            )
            total += max(gone, 0)
        return total

    # ------------------------------------------------------------------ values

    def value(self, name):
        """Return the value of a signal, None where it is undefined."""
        found = WINDOW.match(name)
        if found is None:
            return self.levels_value(name)
        family, number, unit = found[1], int(found[2]), found[3]
        if unit == "e":
            return self.over_events(family, number)
        return self.over_time(family, number * (1_000_000 if unit == "s" else 1_000))

    def levels_value(self, name):
        if not all(self.now):
            return None
        (bid, bid_lots), (ask, ask_lots) = self.now[0][0], self.now[1][0]
        family, _, count = name.rpartition("_")
        count = int(count) if count.isdigit() else 1
        b, a = (sum(lots for _, lots in side[:count]) for side in self.now)
        mid = (bid + ask) * self.tick / 2
        simple = {
            "spread": lambda: ask - bid,
            "mid": lambda: mid,
            "weighted_mid": lambda: Decimal(bid * ask_lots + ask * bid_lots) * self.tick / (bid_lots + ask_lots),
            "micro_price": lambda: self.micro_value(mid),
            "bid_queue": lambda: bid_lots * self.lot,
            "ask_queue": lambda: ask_lots * self.lot,
            "queue_share": lambda: bid_lots / (bid_lots + ask_lots),
            "ofi": lambda: self.flow(1, *self.path["defined"][-1]),
        }
        if name in simple:
            return simple[name]()
        return {
            "imbalance": lambda: (b - a) / (b + a),
            "depth": lambda: (b + a) * self.lot,
            "bid_depth": lambda: b * self.lot,
            "ask_depth": lambda: a * self.lot,
            "multilevel_ofi": lambda: self.flow(count, *self.path["defined"][-1]),
        }[family]()

    def micro_value(self, mid):
        if self.micro is None:
            return None
        (bid, b), (ask, a) = self.now[0][0], self.now[1][0]
        bucket = min(len(self.micro) * b // (a + b), len(self.micro) - 1)
        off = self.micro[bucket][min(ask - bid, len(self.micro[0])) - 1]
        return None if math.isnan(off) else float(mid) + off * float(self.tick)

    def flow(self, count, us, before, now):
        """Return the order flow e of Cont, Kukanov and Stoikov over *count* levels; None if a level is missing."""
        if before is None or min(len(side) for side in (*before, *now)) < count:
            return None
        total = 0
        for m in range(count):
            (p0, q0), (p1, q1) = before[0][m], now[0][m]
            total += (q1 if p1 >= p0 else 0) - (q0 if p1 <= p0 else 0)
            (p0, q0), (p1, q1) = before[1][m], now[1][m]
            total -= (q1 if p1 <= p0 else 0) - (q0 if p1 >= p0 else 0)
        return total * self.lot

    def over_time(self, family, window):  # noqa: PLR0911 - one return per family
        then, seconds = self.us - window, window / 1e6
        if family in ("trade_imbalance", "signed_volume", "sweep_rate", "cancel_rate"):
            if self.us - self.epoch < window:
                return None
            if family == "cancel_rate":
                return sum(lots for us, lots in self.cancels if us > then) * self.lot / Decimal(seconds)
            if family == "sweep_rate":
                return sum(us > then for us in self.sweeps()) / seconds
            sums = {side: sum(q for us, own, _, q in self.prints if us > then and own == side) for side in (1, -1)}
            if family == "signed_volume":
                return (sums[1] - sums[-1]) * self.lot
            return (sums[1] - sums[-1]) / (sums[1] + sums[-1]) if sums[1] + sums[-1] else None
        if self.path is None:
            return None
        if "ofi" in family:
            return self.flow_over_time(1 if family == "ofi" else int(family.rpartition("_")[2]), then)
        mids, begun = self.path["mids"], self.path["us"]
        moves = [(us, (m1 - m0) / 2) for (_, m0), (us, m1) in itertools.pairwise(mids)]
        if family == "bipower":
            return self.bipower(int(seconds))
        if self.us - begun < window:
            return None
        if family == "momentum":
            return (self.mid2 - [mid2 for us, mid2 in mids if us <= then][-1]) / 2
        if family == "range":
            window_mids = [[mid2 for us, mid2 in mids if us <= then][-1], *(mid2 for us, mid2 in mids if us > then)]
            return (max(window_mids) - min(window_mids)) / 2
        if family == "realised_volatility":
            return math.sqrt(sum(move * move for us, move in moves if us > then) / seconds)
        assert family == "ewma_volatility", family
        weights = sum(move * move * 2.0 ** (-(self.us - us) / window) for us, move in moves)
        return math.sqrt(weights / (seconds / math.log(2) * (1 - 2.0 ** (-(self.us - begun) / window))))

    def flow_over_time(self, count, then):
        if self.path["us"] > then:
            return None
        found = [self.flow(count, *one) for one in self.path["defined"] if one[0] > then]
        return None if None in found else sum(found)

    def sweeps(self):
        """Return the instants at which a run of prints of one side first passed its first price."""
        found, run, last, counted = [], None, None, False
        for us, side, ticks, _ in self.prints:
            if run is None or side != run[0] or us - last > 1000:
                run, counted = (side, ticks), False
            elif not counted and side * (ticks - run[1]) > 0:
                counted = True
                found.append(us)
            last = us
        return found

    def bipower(self, count):
        mids, begun = self.path["mids"], self.path["us"]
        first, last = -(-begun // 1_000_000), (self.us - 1) // 1_000_000
        if last - first < count:
            return None
        stamps = [us for us, _ in mids]
        at = [mids[bisect_right(stamps, second * 1_000_000) - 1][1] / 2 for second in range(last - count, last + 1)]
        moves = [abs(b - a) for a, b in itertools.pairwise(at)]
        return math.sqrt(math.pi / 2 * sum(a * b for a, b in itertools.pairwise(moves)) / (count - 1))

    def over_events(self, family, count):
        if self.path is None or len(self.path["mids"]) <= count:
            return None
        mids = [mid2 / 2 for _, mid2 in self.path["mids"][-count - 1 :]]
        if family == "momentum":
            return mids[-1] - mids[0]
        return math.sqrt(sum((b - a) ** 2 for a, b in itertools.pairwise(mids)) / count)


def plain_rows(path, names, every=1, most=None, micro=None):
    """Yield (us, seq, {name: value}) for every *every*-th of the first *most* rows."""
    tick, lot, events = read_day(path)
    market, count = PlainMarket(tick, lot, micro), 0
    for kind, us, seq, content in events:
        if market.take(kind, us, content):
            if count % every == 0:
                yield us, seq, {name: market.value(name) for name in names}
            count += 1
            if count == most:
                return


def same(expected, actual):
    """Return whether two values are equal up to rounding."""
    if expected is None or actual is None:
        return expected is None and actual is None
    return math.isclose(float(expected), actual, rel_tol=1e-9, abs_tol=1e-12)
