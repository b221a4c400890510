"""Imports with and without the compiled line reader write the same bytes for arbitrary captures."""

import json
import re
import shutil
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captured import NOON_US, SYMBOL, agg_trade, diff, exchange_info, snapshot, ticker, trade
from mm.dayfolder import buffered_writer
from mm.errors import MMError
from mm.market_data import lines_ahead
from mm.market_data.capture_import import ImportOptions, import_captures
from support import SHARED

needs_kernel = pytest.mark.skipif(lines_ahead.kernel is None, reason="the compiled lines are not built; run make build")
shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the recorded data in ../shared")


def imported_files(paths, folder, symbol, options):
    """Return the report of an import and the bytes of all its files, or its error."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        report = import_captures(paths, symbol, folder, run_id="R1", options=ImportOptions(**options))
    except MMError as error:
        return type(error), str(error)
    files = {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return report.to_json(), report.lines(), files


def with_and_without(paths, folder, symbol=SYMBOL, **options):
    """Return the results of an import with the kernel and in plain Python."""
    found = imported_files(paths, folder, symbol, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_ahead, "kernel", None)
        return found, imported_files(paths, folder, symbol, options)


class Feed:
    """Consecutive messages of a market with few prices, as an exchange sends them."""

    def __init__(self, seed, *, usdm, units):
        self.rng, self.usdm, self.per_ms = Random(seed), usdm, 1000 if units == "us" and not usdm else 1
        self.us, self.update_id, self.trade_id = NOON_US, 100, 7
        self.bids, self.asks = {99_90: "1.0", 99_80: "2.0"}, {100_10: "1.5", 100_20: "2.5"}

    def price(self, cents):
        return f"{cents / 100:.2f}" if self.usdm else f"{cents / 100:.8f}"

    def levels(self, side):
        return [[self.price(cents), qty] for cents, qty in sorted(side.items(), reverse=side is self.bids)]

    def of(self, stream):
        """Return the next message of a stream."""
        rng, sent = self.rng, self.us // 1000 * self.per_ms
        self.us += rng.choice((0, 1, 900, 90_000))
        if stream == "snapshot":
            answer = snapshot(self.update_id, self.levels(self.bids), self.levels(self.asks))
            return {**answer, "E": sent, "T": sent} if self.usdm else answer
        if stream == "ticker":
            bid, ask = max(self.bids), min(self.asks)
            best = [self.price(bid), self.bids[bid]], [self.price(ask), self.asks[ask]]
            message = ticker(self.update_id + rng.choice((0, 0, 1)), *best)
            if self.usdm:
                message["data"] = {"e": "bookTicker", **message["data"], "T": sent, "E": sent}
            return message
        if stream in ("trade", "aggTrade"):
            self.trade_id += 1
            message = trade(
                self.trade_id, self.price(rng.choice((99_90, 100_10))), rng.choice(("0.5", "2", "0.25")), E=sent
            )
            if stream == "trade" and self.usdm:
                message["data"] |= {"X": "MARKET"}
            if stream == "aggTrade":
                message = agg_trade(self.trade_id, self.trade_id, self.trade_id + 2)
            return message
        if stream == "mark":
            mark = {"e": "markPriceUpdate", "E": sent, "s": SYMBOL, "p": "100.0", "r": "0.0001", "T": NOON_US // 1000}
            return {"stream": f"{SYMBOL.lower()}@markPrice@1s", "data": mark}
        return self.depth(sent)

    def depth(self, sent):
        rng, before = self.rng, self.update_id
        changes = {True: [], False: []}
        for _ in range(rng.randrange(5)):
            of_bids = rng.random() < 0.5
            side = self.bids if of_bids else self.asks
            cents = rng.randrange(9_950, 9_995) if of_bids else rng.randrange(10_005, 10_050)
            qty = rng.choice(("0", "0.000", "1.5", "0.125", "12.00000000", "92233720368.54775807"))
            if float(qty):
                side[cents] = qty
            elif len(side) > 1:
                side.pop(cents, None)
            else:
                continue
            changes[of_bids].append([self.price(cents), qty])
        skipped = rng.randrange(3) if self.usdm else 0
        self.update_id = before + skipped + rng.randrange(1, 4)
        message = diff(before + 1 + skipped, self.update_id, changes[True], changes[False], E=sent)
        if self.usdm:
            message["stream"], message["data"]["pu"] = f"{SYMBOL.lower()}@depth@0ms", before
        return message

    def lines(self, count):
        """Return *count* stamped lines; the third is a snapshot."""
        usual = ["depth"] * 6 + ["trade"] * 3 + ["ticker"] * 3 + ["mark"] * self.usdm
        out = []
        for at in range(count):
            message = self.of("snapshot" if at == 2 else self.rng.choice(usual))
            out.append(b"%d %s\n" % (self.us, json.dumps(message, separators=(",", ":")).encode()))
        return out


_DIGITS = re.compile(rb"\d+")


def _digit(lines, at, rng):
    """Replace a number by another number."""
    found = list(_DIGITS.finditer(lines[at]))
    if not found:
        return
    match = rng.choice(found)
    other = rng.choice((b"0", b"1", b"00", b"9" * 19, b"-1", b"1.5", match[0] + b"0", b"%d" % (int(match[0]) + 1)))
    lines[at] = lines[at][: match.start()] + other + lines[at][match.end() :]


def _byte(lines, at, rng):
    place = rng.randrange(len(lines[at]))
    lines[at] = lines[at][:place] + bytes([rng.choice(b'0"{}[],:\\ \n\xffx')]) + lines[at][place + 1 :]


def _field(lines, at, rng):
    """Add a field, remove one, shuffle them, or change the type of one."""
    stamp, _, body = lines[at].partition(b" ")
    with suppress(ValueError):
        message = json.loads(body)
        _changed(message.get("data", message), rng)
        separators = rng.choice(((",", ":"), (",", ":"), (", ", ": ")))
        lines[at] = stamp + b" " + json.dumps(message, separators=separators, ensure_ascii=False).encode() + b"\n"


def _changed(data, rng):
    names = list(data)
    kind, name = rng.randrange(4), rng.choice(names)
    if kind == 0:
        data[rng.choice(("X", "pu", "e", "st", "nq", "q", "E"))] = rng.choice((None, True, "1", 5, 1.5, "é", []))
    elif kind == 1:
        del data[name]
    elif kind == 2:
        rng.shuffle(names)
        fields = {field: data[field] for field in names}
        data.clear()
        data.update(fields)
    else:
        data[name] = rng.choice((None, False, True, "x", "1.0", 7, [], [["1", "2"]]))


def _clock(lines, at, rng):
    """Step the receive clock, or end the day."""
    stamp, _, body = lines[at].partition(b" ")
    if not stamp.isdigit():
        return
    by_us = rng.choice((-1, -(10**6), 10**6, 43_300 * 10**6, -4_000 * 10**6))
    lines[at:at] = [b"%d %s" % (int(stamp) + by_us, body)]
    if by_us > 10**9:
        later = [line.partition(b" ") for line in lines[at + 1 :]]
        lines[at + 1 :] = [b"%d %s" % (int(stamp) + by_us, body) for stamp, _, body in later if stamp.isdigit()]


CHANGES = {
    "digit": _digit,
    "byte": _byte,
    "field": _field,
    "clock": _clock,
    "cut": lambda lines, at, rng: lines.__setitem__(
        at, lines[at][: rng.randrange(len(lines[at]))] + b"\n" * rng.randrange(2)
    ),
    "twice": lambda lines, at, _: lines.insert(at, lines[at]),
    "gone": lambda lines, at, _: lines.pop(at),
    "move": lambda lines, at, rng: lines.insert(rng.randrange(len(lines)), lines.pop(at)),
    "empty": lambda lines, at, rng: lines.insert(at, rng.choice((b"\n", b" \n", b"junk\n"))),
    "info": lambda lines, at, _: lines.insert(
        at, b"%d %s\n" % (NOON_US, json.dumps(exchange_info(SYMBOL, tick="0.01", step="0.001")).encode())
    ),
    "other": lambda lines, at, _: lines.insert(
        at, b"%d %s\n" % (NOON_US, json.dumps(diff(1, 2, symbol="XUSDT")).encode())
    ),
    "aggregate": lambda lines, at, _: lines.insert(
        at, b"%d %s\n" % (NOON_US, json.dumps(agg_trade(1, 1, 1), separators=(",", ":")).encode())
    ),
}
change = st.tuples(st.sampled_from(sorted(CHANGES)), st.floats(0, 1), st.integers(0, 999))
stamps = st.sampled_from((b"%d", b"%d000", b"%d:", "s", "ms"))


def stamped(lines, form):
    """Return the lines with their µs stamps in another form."""
    out = []
    for line in lines:
        stamp, blank, body = line.partition(b" ")
        if stamp.isdigit() and 15 < len(stamp) < 18:
            us = int(stamp)
            if form == "s":
                stamp = b"%d.%06d:" % divmod(us, 10**6)
            else:
                stamp = b"%d" % (us // 1000) if form == "ms" else form % us
        out.append(stamp + blank + body)
    return b"".join(out)


case = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "usdm": st.booleans(),
        "units": st.sampled_from(("ms", "us")),
        "form": stamps,
        "changes": st.lists(change, max_size=3),
        "top_n": st.sampled_from((1, 3, 20)),
        "tick": st.sampled_from((None, None, "0.01", "0.02")),
        "full": st.sampled_from((600, 4_000, 1 << 20)),
    }
)


@pytest.mark.slow
@needs_kernel
@settings(max_examples=150, deadline=None)
@given(case)
def test_random_captures_import_to_the_same_bytes(case):
    """Up to three lines of a capture are changed, moved, cut, repeated or lost; files are flushed at any row."""
    lines, rng = Feed(case["seed"], usdm=case["usdm"], units=case["units"]).lines(90), Random(case["seed"])
    for kind, place, seed in case["changes"]:
        rng.seed(seed)
        CHANGES[kind](lines, round(place * (len(lines) - 1)), rng)
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffered_writer, "FLUSH_BYTES", case["full"])
        patch.setattr(buffered_writer, "PACK_BYTES", case["full"] // 4)
        path = Path(place) / "capture"
        path.write_bytes(stamped(lines, case["form"]))
        ours, plain = with_and_without([path], Path(place) / "data", top_n=case["top_n"], tick_size=case["tick"])
        assert ours == plain


@needs_kernel
@pytest.mark.parametrize("usdm", [True, False])
def test_kernel_handles_nearly_all_lines(tmp_path, monkeypatch, usdm):
    """Otherwise the comparisons above would not test the kernel."""
    taken, take = [], lines_ahead.LinesAhead.take

    def counted(ahead, block, at):
        found = take(ahead, block, at)
        taken.append(found[0])
        return found

    monkeypatch.setattr(lines_ahead.LinesAhead, "take", counted)
    path = tmp_path / "capture"
    path.write_bytes(b"".join(line for line in Feed(1, usdm=usdm, units="ms").lines(2_000) if b"markPrice" not in line))
    imported_files([path], tmp_path / "data", SYMBOL, {})
    assert sum(taken) > 0.95 * 2_000 * (12 / 13 if usdm else 1)


@pytest.mark.slow
@needs_kernel
@shared
@pytest.mark.parametrize(
    ("place", "symbol"),
    [("binance-spot-multi-20210404", "BTCUSDT"), ("binance-usdm-btcusdt-20230404-05", "BTCUSDT")],
)
def test_real_captures_import_to_the_same_bytes(tmp_path, place, symbol):
    """Recorded streams of Spot and of USD-M."""
    paths = sorted((SHARED / "data" / place).glob("*.gz"))
    ours, plain = with_and_without(paths, tmp_path / "data", symbol)
    assert ours == plain
    assert len(ours[2]) > 5
