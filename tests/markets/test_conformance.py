"""What every market must do: frames in, a day out whose books are the exchange's, and none after lost frames."""

import importlib.util
import json
import random
from decimal import Decimal
from typing import ClassVar

import pytest

from bybit_frames import SYMBOL, BybitMarket
from captured import rows
from day_files import defects_of
from mm.dayfolder.layout import DayFolder
from mm.market_data.capture_import import captures_of, import_captures
from mm.markets.registry import MARKETS
from mm.tape.load import load_day
from support import ROOT

BEGIN_MS, STEP_MS, TOP_N = 1_786_000_000_000, 100, 20


class Told:
    """A frame as text; for one of the book also the key of its row and the exchange's own book after it."""

    def __init__(self, text, key=None, book=None):
        self.text, self.key, self.book = text, key, book


class Wire:
    """A book that moves; a subclass writes it down as its exchange does."""

    def __init__(self, seed):
        self.draw, self.ms, self.id, self.trade_id = random.Random(seed), BEGIN_MS, 1_000, 70
        self.sides = {
            side: {10_000 - side * level: self.draw.randrange(1, 90) for level in range(1, 12)} for side in (1, -1)
        }

    def begin(self):
        raise NotImplementedError

    def step(self):
        raise NotImplementedError

    def shown(self):
        """Return the exchange's best levels, as decimals."""
        return {
            side: [(Decimal(ticks) / 10, Decimal(lots)) for ticks, lots in sorted(levels.items(), reverse=side == 1)]
            for side, levels in self.sides.items()
        }

    def move(self):
        """Change a level or two, and return what has changed as texts."""
        self.ms += STEP_MS
        told = {1: [], -1: []}
        for side in (1, -1):
            best, other = (max(self.sides[1]), min(self.sides[-1]))[::side]
            ticks = best + side * self.draw.choice((1, 0, -1, -2, -4))
            if side * (other - ticks) <= 0:
                continue
            lots = 0 if self.draw.random() < 0.4 and len(self.sides[side]) > 5 else self.draw.randrange(1, 90)
            self.sides[side].pop(ticks, None)
            if lots:
                self.sides[side][ticks] = lots
            told[side].append([f"{ticks / 10:.2f}", str(lots)])
        return told[1], told[-1]

    def whole(self):
        return [[[f"{price:.2f}", str(qty)] for price, qty in self.shown()[side]] for side in (1, -1)]

    def changed(self, message):
        return Told(json.dumps(message), (self.ms, self.id), self.shown())


class SpotWire(Wire):
    """Binance Spot: a response of REST, then updates of consecutive ids."""

    extra: ClassVar = {}
    stream = "simusdt@depth@100ms"

    def begin(self):
        bids, asks = self.whole()
        return Told(json.dumps({"lastUpdateId": self.id, "bids": bids, "asks": asks, **self.extra}))

    def ids(self):
        first = self.id + 1
        self.id += self.draw.randrange(1, 5)
        return {"U": first, "u": self.id}

    def step(self):
        bids, asks = self.move()
        data = {"e": "depthUpdate", "E": self.ms, "s": SYMBOL, **self.ids(), "b": bids, "a": asks}
        told = [self.changed({"stream": self.stream, "data": data})]
        self.trade_id += 1
        trade = {"e": "trade", "E": self.ms, "s": SYMBOL, "t": self.trade_id, "p": asks[0][0] if asks else "1000.10"}
        trade |= {"q": "1", "T": self.ms, "m": False, **({"X": "MARKET"} if self.extra else {})}
        return [*told, Told(json.dumps({"stream": "simusdt@trade", "data": trade}))]


class UsdmWire(SpotWire):
    """USD-M: an update names the last id of the one before it."""

    extra: ClassVar = {"E": BEGIN_MS, "T": BEGIN_MS}

    def ids(self):
        before = self.id
        self.id += self.draw.randrange(2, 40)
        return {"U": before + 2 if self.id > before + 1 else before + 1, "u": self.id, "pu": before, "T": self.ms}


class AcmeWire(Wire):
    """The made-up market of the documentation: snapshots in the stream, an id a message."""

    def frame(self, kind, bids, asks):
        head = {"type": kind, "symbol": SYMBOL, "ms": self.ms, "id": self.id}
        return self.changed({**head, "bids": bids, "asks": asks})

    def begin(self):
        return Told(self.frame("book", *self.whole()).text)

    def step(self):
        levels = self.move()
        self.id += 1
        return [self.frame("change", *levels)]


class BybitWire(Wire):
    """Bybit: a window of the best levels that slides."""

    linear = True

    def __init__(self, seed):
        super().__init__(seed)
        self.made = BybitMarket(seed, linear=self.linear)

    def begin(self):
        return Told(self.made.snapshot())

    def step(self):
        prints = [Told(self.made.prints(2))] if self.draw.random() < 0.3 else []
        text = self.made.delta()
        return [*prints, Told(text, (self.made.ms + 2, self.made.u), self.made.book())]


class BybitSpotWire(BybitWire):
    """Bybit Spot: ids of prints are numbers."""

    linear = False


WIRES = {"spot": SpotWire, "usdm": UsdmWire, "bybit": BybitWire, "bybit-spot": BybitSpotWire, "acme": AcmeWire}


@pytest.fixture
def market(request, monkeypatch):
    """Return the market that a test names; the made-up one is known only in this test."""
    monkeypatch.setattr(MARKETS, "_by_name", dict(MARKETS))
    if request.param == "acme":
        spec = importlib.util.spec_from_file_location("own_market", ROOT / "docs" / "examples" / "own_market.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(__import__("sys").modules, "own_market", module)
        spec.loader.exec_module(module)
    return MARKETS[request.param]


def import_frames(market, told, folder):
    """Import frames as a capture of *market*, and return the day and its rows of books."""
    path = folder / "frames.txt"
    path.write_text("".join(f"{BEGIN_MS * 1_000 + 50_000 * at} {one.text}\n" for at, one in enumerate(told)))
    (day,) = import_captures([path], SYMBOL, folder / "data", run_id="r", form=captures_of(market)).days
    folder = DayFolder(folder / "data", SYMBOL, day.day)
    return folder, [*rows(folder.frames)]


def best_of(row):
    """Return the levels that a row shows."""
    return {
        side: [
            (Decimal(row[f"{name}{level}_price"]), Decimal(row[f"{name}{level}_qty"]))
            for level in range(1, TOP_N + 1)
            if row[f"{name}{level}_price"]
        ]
        for side, name in ((1, "bid"), (-1, "ask"))
    }


def wrong_books(shown, told):
    """Return the rows that are not the exchange's book."""
    books = {one.key: one.book for one in told if one.key}
    keys = [(int(row["event_time_ms"]), int(row["last_update_id"])) for row in shown]
    return [
        key
        for key, row in zip(keys, shown, strict=True)
        if best_of(row) != {side: levels[:TOP_N] for side, levels in books[key].items()}
    ]


@pytest.mark.parametrize("market", WIRES, indirect=True)
def test_day_of_whole_frames_has_every_book_of_the_exchange(market, tmp_path):
    """Whatever the exchange's words are, a day of it is read, checked and played like any other."""
    wire = WIRES[market.name](7)
    told = [wire.begin()]
    for _ in range(80):
        told += wire.step()
    day, shown = import_frames(market, told, tmp_path)
    assert len(shown) == 80
    assert not wrong_books(shown, told)
    assert not defects_of(day)
    tape = load_day(day.path)
    assert tape.meta.market is market


@pytest.mark.parametrize("market", WIRES, indirect=True)
@pytest.mark.parametrize("seed", range(20))
def test_damaged_frames_never_make_a_wrong_book(market, tmp_path, seed):
    """A hundred streams with lost and doubled frames, and new snapshots: a book is the exchange's, or none."""
    wire, draw = WIRES[market.name](seed), random.Random(seed)
    told, sent = [wire.begin()], []
    for _ in range(60):
        told += [wire.begin()] if draw.random() < 0.05 else []
        told += wire.step()
    for one in told:
        fate = draw.random()
        sent += [] if fate < 0.04 and sent else [one, one] if fate > 0.96 else [one]
    _, shown = import_frames(market, [*sent, wire.begin(), *wire.step()], tmp_path)
    told.append(Told("", (wire.ms, wire.id), wire.shown()))
    if isinstance(wire, BybitWire):
        told.append(Told("", (wire.made.ms + 2, wire.made.u), wire.made.book()))
    assert shown
    assert not wrong_books(shown, told)


@pytest.mark.parametrize("market", ["bybit"], indirect=True)
def test_restart_of_the_exchange_is_never_a_wrong_book(market, tmp_path):
    """Ids that begin again at 1 are another book, however near the old ones were."""
    wire, told = BybitWire(3), []
    wire.made.u = 3
    told.append(wire.begin())
    for at in range(60):
        told += [Told(wire.made.restart())] if at in (2, 20, 21, 40) else []
        told += wire.step()
    del told[-15]
    _, shown = import_frames(market, told, tmp_path)
    assert len(shown) > 30
    assert not wrong_books(shown, told)
