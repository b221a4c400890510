"""Recorded captures for `mm data import`; some are converted to raw lines, or unpacked, first."""

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from support import SHARED

DATA = SHARED / "data"
GROWN_US = 20_000_000  # length of the diffs that build the first book of a capture without a snapshot

Line = tuple[int, Any]


@dataclass(frozen=True)
class Capture:
    """One recorded stream: its *folder*, the *files* to import in order, or a function that yields their *lines*.

    In *files* and *flags* of the import ``{symbol}`` is the symbol.
    """

    folder: str
    symbols: tuple[str, ...]
    files: tuple[str, ...] = ()
    lines: Callable[[Path], Iterator[Line]] | None = None
    flags: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Return the folder of the capture."""
        return DATA / self.folder

    def words(self, into: Path, symbol: str) -> list[str]:
        """Return the arguments of the import of *symbol*; converted files are written to *into*."""
        return [*map(str, self.write(into, symbol)), "--symbol", symbol, *self.flags]

    def write(self, into: Path, symbol: str) -> list[Path]:
        """Return the files to import; converted ones are written to *into*."""
        if self.lines is None:
            return [unpacked(self.path / name.format(symbol=symbol), into) for name in self.files]
        made = into / "capture.txt"
        stamped = sorted(self.lines(self.path), key=lambda line: line[0])
        made.write_text("".join(f"{us} {json.dumps(message)}\n" for us, message in stamped))
        return [made]


def unpacked(path: Path, into: Path) -> Path:
    """Return a file, or the content of a zstd file, written to *into*."""
    if path.suffix != ".zst":
        return path
    plain = into / path.stem
    with pa.input_stream(path, compression="zstd") as stream:
        plain.write_bytes(stream.read())
    return plain


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a gzipped CSV file; a REST response is one long field."""
    csv.field_size_limit(1 << 24)
    with gzip.open(path, "rt", newline="") as stream:
        yield from csv.DictReader(stream)


def of_depth5(folder: Path) -> Iterator[Line]:
    """Yield the diffs, the trades and the REST response of the capture whose rows hold raw payloads."""
    names = {"depth_diff": "btcusdt@depth@100ms", "trade": "btcusdt@trade"}
    for row in rows(folder / "market_data_spot_BTCUSDT_sample.csv.gz"):
        if row["stream_kind"] in names:
            yield _us(row), {"stream": names[row["stream_kind"]], "data": json.loads(row["payload_json"])}
    for row in rows(folder / "market_data_spot_BTCUSDT_sample_snapshots.csv.gz"):
        yield _us(row), json.loads(row["payload_json"])


def _us(row: dict[str, str]) -> int:
    return int(row["recv_tsec"]) * 1_000_000 + int(row["recv_tnsec"]) // 1000


def of_rows(folder: Path) -> Iterator[Line]:
    """Yield the capture with one row per changed level; its first seconds become the missing REST response."""
    name = folder / "binance_{}_stream_spot_trxusdt_04-03-2025.csv.gz"
    levels = list(rows(Path(str(name).format("difference_depth"))))[:-1]  # the last row was edited by its author
    events: dict[int, tuple[int, dict[str, Any]]] = {}
    for row in levels:
        last_id, us = int(row["FinalUpdateId"]), int(row["TimestampOfReceive"])
        body = {"e": "depthUpdate", "E": int(row["EventTime"]), "s": "TRXUSDT", "U": int(row["FirstUpdateId"])}
        _, diff = events.setdefault(last_id, (us, {**body, "u": last_id, "b": [], "a": []}))
        diff["ba"[int(row["IsAsk"])]].append([row["Price"], row["Quantity"]])
    grown: dict[str, dict[str, str]] = {"b": {}, "a": {}}
    begun_us, snapshot_us, snapshot_id = levels and int(levels[0]["TimestampOfReceive"]), 0, 0
    for us, diff in events.values():
        if us < begun_us + GROWN_US:
            snapshot_us, snapshot_id = us, diff["u"]
            for side in "ba":
                grown[side].update((price, qty) for price, qty in diff[side])
        yield us, {"stream": "trxusdt@depth@100ms", "data": diff}
    bids, asks = ([[price, qty] for price, qty in grown[side].items() if float(qty)] for side in "ba")
    bids.sort(key=lambda level: -float(level[0]))
    asks.sort(key=lambda level: float(level[0]))
    yield snapshot_us, {"lastUpdateId": snapshot_id, "bids": bids, "asks": asks}
    for row in rows(Path(str(name).format("trade"))):
        data = {"e": "trade", "E": int(row["EventTime"]), "s": "TRXUSDT", "t": int(row["TradeId"]), "p": row["Price"]}
        data |= {"q": row["Quantity"], "T": int(row["TransactionTime"]), "m": row["IsBuyerMarketMaker"] == "1"}
        if int(row["TimestampOfReceive"]) <= us:
            yield int(row["TimestampOfReceive"]), {"stream": "trxusdt@trade", "data": data}


CAPTURES = {
    "nexo": Capture(
        "binance-spot-nexousdt-20240723-24", ("NEXOUSDT",), ("nexousdt_20240723.dat.gz", "nexousdt_20240724.dat.gz")
    ),
    "btc": Capture("binance-spot-btcusdt-20240808-09", ("BTCUSDT",), ("btcusdt_20240808.gz", "btcusdt_20240809.gz")),
    "multi": Capture("binance-spot-multi-20210404", ("BTCUSDT", "ETHUSDT", "DOTUSDT"), ("BINANCE-ee25be.0.gz",)),
    "depth5": Capture("binance-spot-btcusdt-20260607-depth5", ("BTCUSDT",), lines=of_depth5),
    "trx": Capture("binance-spot-trxusdt-20250304-us", ("TRXUSDT",), lines=of_rows),
    "usdm": Capture(
        "binance-usdm-btcusdt-20230404-05", ("BTCUSDT",), ("btcusdt_20230404.dat.gz", "btcusdt_20230405.dat.gz")
    ),
    "quiet": Capture("binance-spot-quiet-20211012", ("NKNUSDT", "BLZETH"), ("BINANCE.jsonl.zst",)),
    "bitstamp": Capture(
        "bitstamp-btcusd-20150501-l3",
        ("BTCUSD",),
        ("2015-05-01.log.bz2",),
        flags=("--format", "bitstamp", "--tick-size", "0.01"),
    ),
    "frames": Capture(
        "binance-spot-btcusdt-20260216-frames",
        ("BTC",),
        ("lobdeep_btc_spot_2026-02-16_04.parquet", "trades_btc_spot_2026-02-16_04.parquet"),
        flags=(
            *("--format", "table", "--tick-size", "0.01", "--symbol-column", "base", "--id-column", "trade_id"),
            *("--time-column", "ts_ms", "--exchange-time-column", "exch_ts_ms"),
            *("--levels", "bids_px,bids_qty,asks_px,asks_qty"),
        ),
    ),
    "btc perpetual": Capture(
        "hyperliquid-btc-wlfi-20250904",
        ("BTC",),
        ("orderbooks_{symbol}.csv.gz", "trades_{symbol}.csv.gz"),
        flags=("--format", "table", "--tick-size", "1"),
    ),
    "wlfi perpetual": Capture(
        "hyperliquid-btc-wlfi-20250904",
        ("WLFI",),
        ("orderbooks_{symbol}.csv.gz", "trades_{symbol}.csv.gz"),
        flags=("--format", "table", "--tick-size", "0.00001"),
    ),
}
