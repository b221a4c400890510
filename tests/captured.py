"""Hand-written captures: lines as recorders write them, and the days imported from them."""

import csv
import gzip
import json

from mm import DayFolder
from mm.clock import midnight_us
from mm.formats.registry import form_of
from mm.market_data.capture_import import ImportOptions, import_captures
from mm.markets.binance_spot import BINANCE_SPOT
from mm.markets.grid import Grid

SYMBOL = "SIMUSDT"
DAY = "20260105"
NOON_US = midnight_us(DAY) + 12 * 3_600_000_000
BIDS = [["99.90", "1.0"], ["99.80", "2.0"], ["99.70", "3.0"]]
ASKS = [["100.10", "1.5"], ["100.20", "2.5"]]


def snapshot(last_id, bids=BIDS, asks=ASKS):
    return {"lastUpdateId": last_id, "bids": bids, "asks": asks}


def diff(first_id, last_id, bids=(), asks=(), symbol=SYMBOL, E=NOON_US // 1000):
    payload = {"e": "depthUpdate", "E": E, "s": symbol, "U": first_id, "u": last_id, "b": list(bids), "a": list(asks)}
    return {"stream": f"{symbol.lower()}@depth@100ms", "data": payload}


def trade(trade_id, price="100.10", qty="0.5", symbol=SYMBOL, E=NOON_US // 1000):
    payload = {"e": "trade", "E": E, "s": symbol, "t": trade_id, "p": price, "q": qty, "T": E, "m": False, "M": True}
    return {"stream": f"{symbol.lower()}@trade", "data": payload}


def agg_trade(trade_id, first_id, last_id, price="100.10", symbol=SYMBOL):
    payload = trade(trade_id, price, symbol=symbol)["data"] | {
        "e": "aggTrade",
        "a": trade_id,
        "f": first_id,
        "l": last_id,
    }
    del payload["t"]
    return {"stream": f"{symbol.lower()}@aggTrade", "data": payload}


def ticker(update_id, bid=BIDS[0], ask=ASKS[0], symbol=SYMBOL):
    payload = {"u": update_id, "s": symbol, "b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1]}
    return {"stream": f"{symbol.lower()}@bookTicker", "data": payload}


def exchange_info(*symbols, tick="0.10000000", step="0.10000000"):
    filters = [{"filterType": "PRICE_FILTER", "tickSize": tick}, {"filterType": "LOT_SIZE", "stepSize": step}]
    entries = [{"symbol": name, "status": "TRADING", "baseAsset": "SIM", "filters": filters} for name in symbols]
    return {"timezone": "UTC", "symbols": entries}


def lines(messages, from_us=NOON_US, step_us=100_000):
    """Return stamped lines, one message every *step_us*; bytes are copied without a stamp."""
    out, us = [], from_us
    for message in messages:
        if isinstance(message, bytes):
            out.append(message)
            continue
        out.append(f"{us} {json.dumps(message)}\n".encode())
        us += step_us
    return b"".join(out)


def write(path, messages, **when):
    """Write a capture, compressed according to its name, and return its path."""
    raw = messages if isinstance(messages, bytes) else lines(messages, **when)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def imported(tmp_path, *captures, symbol=SYMBOL, **options):
    """Import captures (paths, or lists of messages) and return the report."""
    paths = [
        capture if hasattr(capture, "suffix") else write(tmp_path / f"capture_{at}.gz", capture)
        for at, capture in enumerate(captures)
    ]
    return import_files(paths, tmp_path / "data", symbol, **options)


def import_files(paths, root, symbol=SYMBOL, *, form=None, units=(), columns=None, **options):
    """Import files of a format by its name, below *root*, and return the report.

    Args:
        units: ``contract_size`` and ``price_scale`` of the files, by name.
        columns: Those of a table.
        options: Options of an import, and further arguments of it.
    """
    from mm.formats.table import TableColumns

    if form:
        options["form"] = form_of(form, columns=None if columns is None else TableColumns(**columns), **dict(units))
    given = {"run_id": "R1", **{name: options.pop(name) for name in ("form", "progress") if name in options}}
    return import_captures(list(paths), symbol, root, options=ImportOptions(**options), **given)


def folder(tmp_path, day=DAY, symbol=SYMBOL):
    return DayFolder(tmp_path / "data", symbol, day)


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def events(day_folder, kind=None):
    """Return the ledger as (type, epoch, details), or the details of events of *kind*."""
    ledger = [(row["type"], int(row["epoch_id"]), json.loads(row["details_json"])) for row in rows(day_folder.events)]
    return ledger if kind is None else [details for found, _, details in ledger if found == kind]


def kinds(day_folder):
    """Return the event types of the ledger between the opening and closing events, with kinds for anomalies."""
    named = [details["kind"] if kind == "anomaly" else kind for kind, _, details in events(day_folder)]
    return named[2:-3] if "clock_offset" in named else named[2:-2]


def frames(day_folder):
    """Return the frames as (epoch, last id, best bid, best ask): a level is price and quantity."""
    return [
        (
            int(row["epoch_id"]),
            int(row["last_update_id"]),
            (row["bid1_price"], row["bid1_qty"]),
            (row["ask1_price"], row["ask1_qty"]),
        )
        for row in rows(day_folder.frames)
    ]


def tags(day_folder):
    """Return the snapshots as (tag, last id) in the order of their events."""
    loaded = events(day_folder, "snapshot_loaded")
    return [(details["path"].rpartition("_")[2].removesuffix(".csv"), details["last_update_id"]) for details in loaded]


def decoder(symbol=SYMBOL, venue=BINANCE_SPOT, **options):
    """Return the decoder of a symbol whose grid is not known, and the grid that it learns."""
    grid = Grid()
    return venue.decoder(symbol, grid, **options), grid
