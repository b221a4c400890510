"""Live data of a market and a trader: a day's last rows, metrics, an audit log, a box."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np
import polars as pl

from mm.base.arrays import Floats, Ints
from mm.base.audit_chain import SUFFIX, audit_folder
from mm.clock import US_PER_MS, US_PER_S, now_us
from mm.dashboard import gate
from mm.dayfolder.layout import DayFolder, levels_shown
from mm.errors import BrokenFile, DataError

TAIL_BYTES = 1_500_000
ANSWER_S = 0.4
LEVELS = 20
KEPT = 3_600  # refreshes of an exchange in a box to keep
_SAMPLE = re.compile(r'^(\w+)\{symbol="[^"]*"(?:,\w+="([^"]*)")?\} (\S+)$', re.MULTILINE)
HERE = ("localhost", "127.0.0.1", "::1")
Levels = list[tuple[float, float]]
"""Price and quantity, the best first."""


@dataclass(frozen=True)
class LiveMarket:
    us: Ints
    best: list[Floats]
    book: list[Levels]
    trade_us: Ints
    trades: list[Floats]
    run_id: str = ""

    @property
    def bid(self) -> Floats:
        return self.best[0]

    @property
    def ask(self) -> Floats:
        return self.best[1]

    @property
    def mid(self) -> Floats:
        return (self.bid + self.ask) / 2

    @property
    def micro(self) -> Floats:
        bid, ask, bid_qty, ask_qty = self.best
        return (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty)


def tail(path: Path, most_bytes: int = TAIL_BYTES) -> pl.DataFrame | None:
    try:
        with path.open("rb") as file:
            head = file.readline()
            begin = max(len(head), path.stat().st_size - most_bytes)
            file.seek(begin)
            rows = file.read(most_bytes)
    except FileNotFoundError:
        return None
    if begin > len(head):
        rows = rows[rows.find(b"\n") + 1 :]
    rows = rows[: rows.rfind(b"\n") + 1]
    if not rows or not head.endswith(b"\n"):
        return None
    try:
        return pl.read_csv(BytesIO(head + rows), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise BrokenFile(
            f"{path}: not a table ({' '.join(str(error).split())[:120]}); mm data check gives the reason"
        ) from error


def recorded_tail(day: DayFolder) -> LiveMarket | None:
    frames, trades = tail(day.frames), tail(day.trades)
    if frames is None:
        return None
    try:
        shown = min(LEVELS, levels_shown(frames.columns))
        us = _whole(frames["recv_time_us"])
        # Between two books of different epochs nothing is known: a row without prices interrupts the lines.
        begins = np.flatnonzero((frames["run_id"] + " " + frames["epoch_id"]).rle_id().diff().fill_null(0).to_numpy())
        best = [
            np.insert(_floats(frames[name]), begins, np.nan)
            for name in ("bid1_price", "ask1_price", "bid1_qty", "ask1_qty")
        ]
        book = [_book(frames.row(-1, named=True), side, shown) for side in ("bid", "ask")]
        us = np.insert(us, begins, us[begins - 1] + 1)
        return LiveMarket(us, best, book, *_trades(trades), frames["run_id"][-1])
    except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
        why = " ".join(str(error).split())[:120]
        raise BrokenFile(f"{day.path}: frames or trades cannot be read ({why}); run mm data check") from error


def _trades(rows: pl.DataFrame | None) -> tuple[Ints, list[Floats]]:
    if rows is None:
        return np.empty(0, np.int64), [np.empty(0)] * 3
    side = np.where(rows["is_buyer_maker"].str.to_lowercase().to_numpy() == "true", -1.0, 1.0)
    return _whole(rows["recv_time_us"]), [_floats(rows["price"]), _floats(rows["qty"]), side]


def _book(row: Mapping[str, str], side: str, shown: int) -> Levels:
    cells = ((row[f"{side}{level}_price"], row[f"{side}{level}_qty"]) for level in range(1, shown + 1))
    return [(float(price), float(qty)) for price, qty in cells if price]


def _floats(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _whole(column: pl.Series) -> Ints:
    return column.cast(pl.Int64).to_numpy()


def fetched(address: str, path: str) -> Any:
    """Return parsed JSON, or text; None for 404."""
    host = urlsplit(address if "://" in address else f"//{address}").hostname
    if host not in HERE:
        raise DataError(
            f"{address} is not on this machine ({', '.join(HERE)}); forward its port, "
            "ssh -L 9109:127.0.0.1:9109 HOST, and give 127.0.0.1:9109"
        )
    headers = {"Authorization": f"Bearer {text}"} if (text := gate.token()) else {}
    base = address.rstrip("/") if "://" in address else f"http://{address.rstrip('/')}"
    try:
        with httpx.Client(trust_env=False, timeout=ANSWER_S) as client:
            answer = client.get(f"{base}/{path}", headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise DataError(f"{base}/{path} does not respond ({error or type(error).__name__}); is it running?") from error
    if answer.status_code == 404:
        return None
    if answer.status_code != 200:
        raise DataError(f"{base}/{path} returned status {answer.status_code}: {answer.text[:100]}")
    return answer.json() if answer.headers.get("content-type", "").startswith("application/json") else answer.text


def metrics_of(address: str) -> dict[str, dict[str, float]]:
    text = fetched(address, "metrics")
    metrics: dict[str, dict[str, float]] = {}
    for name, label, value in _SAMPLE.findall(text if isinstance(text, str) else ""):
        metrics.setdefault(name, {})[label] = float(value)
    if not metrics:
        raise DataError(f"{address}/metrics is not a metrics page; start the trader with METRICS_PORT")
    return metrics


def box_market(address: str, symbol: str, before: LiveMarket | None) -> LiveMarket:
    book, trades = fetched(address, f"book?levels={LEVELS}"), None
    if book is None:
        book = fetched(address, f"api/v3/depth?symbol={symbol}&limit={LEVELS}")
        trades = fetched(address, f"api/v3/trades?symbol={symbol}&limit=500")
    try:
        sides: list[Levels] = [[(float(price), float(qty)) for price, qty in book[side]] for side in ("bids", "asks")]
        us = round(book["timestamp"] * US_PER_S) if "timestamp" in book else now_us()
        rows = [(t["time"] * US_PER_MS, float(t["price"]), float(t["qty"]), -1.0 if t["isBuyerMaker"] else 1.0)
                for t in trades or ()]  # fmt: skip
    except (TypeError, LookupError, ValueError) as error:
        raise DataError(
            f"{address} is not an exchange in a box ({error!r}); give the address of mm sim api or mm sim serve"
        ) from error
    tops = [side[0] if side else (np.nan, np.nan) for side in sides]
    now = (tops[0][0], tops[1][0], tops[0][1], tops[1][1])
    old = (
        LiveMarket(np.empty(0, np.int64), [np.empty(0)] * 4, [], np.empty(0, np.int64), [])
        if before is None
        else before
    )
    best = [np.append(column, value)[-KEPT:] for column, value in zip(old.best, now, strict=True)]
    trade_us = np.array([us for us, *_ in rows], dtype=np.int64)
    columns = [np.array([row[place] for row in rows], dtype=np.float64) for place in (1, 2, 3)]
    return LiveMarket(np.append(old.us, us)[-KEPT:], best, sides, trade_us, columns)


@dataclass(frozen=True)
class SeenOrders:
    """A trader's orders, from its audit log.

    *open* has side (+1 buy), price and quantity by client id; *ended* start, end, side and price.
    """

    open: dict[str, tuple[int, float, float]]
    fills: list[tuple[int, int, float, float]]
    run: str
    since: dict[str, int] = field(default_factory=dict)
    ended: list[tuple[int, int, int, float]] = field(default_factory=list)

    def end(self, name: str, us: int) -> None:
        if name in self.open:
            side, price, _ = self.open.pop(name)
            self.ended.append((self.since.pop(name, us), us, side, price))

    def quotes(self, side: int, until_us: int) -> tuple[Ints, Ints, Floats]:
        rows = [(since, until, price) for since, until, of_side, price in self.ended if of_side == side]
        rows += [(self.since.get(name, until_us), until_us, price)
                 for name, (of_side, price, _) in self.open.items() if of_side == side]  # fmt: skip
        since, until, price = zip(*sorted(rows), strict=True) if rows else ((), (), ())
        return np.array(since, np.int64), np.array(until, np.int64), np.array(price, np.float64)


def own_orders(out_root: Path, symbol: str, run_id: str) -> SeenOrders | None:
    ids = (run_id, run_id.rpartition("_")[0])
    logs = [path for path in audit_folder(out_root, symbol).glob(f"*{SUFFIX}") if path.stem.partition("_")[2] in ids]
    logs.sort(key=lambda path: path.stat().st_mtime_ns)
    if not logs:
        return None
    with logs[-1].open("rb") as file:
        file.seek(max(0, logs[-1].stat().st_size - TAIL_BYTES))
        lines = file.read(TAIL_BYTES).splitlines(keepends=True)
    orders = SeenOrders({}, [], logs[-1].name.removesuffix(SUFFIX))
    for line in lines:
        try:
            row = msgspec.json.decode(line) if line.endswith(b"\n") else {}
        except msgspec.MsgspecError:  # truncated by the start of the tail
            continue
        _take(orders, row)
    return orders


def _take(orders: SeenOrders, row: Mapping[str, Any]) -> None:
    kind, name, us = row.get("type"), row.get("client_id", ""), row.get("us", 0)
    side = 1 if row.get("side") == "BUY" else -1
    if kind == "intent" and row.get("action") in ("place", "replace") and row.get("price"):
        orders.end(name, us)
        orders.open[name], orders.since[name] = (side, float(row["price"]), float(row["qty"])), us
    elif kind in ("cancel", "reject"):
        orders.end(name, us)
    elif kind == "fill":
        orders.fills.append((us, side, float(row["price"]), float(row["qty"])))
        if name in orders.open:
            left = orders.open[name][2] - float(row["qty"])
            if left > 1e-12:
                orders.open[name] = (*orders.open[name][:2], left)
            else:
                orders.end(name, us)
    elif kind in ("start", "stop"):
        for open_name in list(orders.open):
            orders.end(open_name, us)


def box_orders(address: str, client: str, now: int, before: SeenOrders | None = None) -> SeenOrders | None:
    orders, fills = (fetched(address, f"{endpoint}/{client}") for endpoint in ("orders", "fills"))
    if not isinstance(orders, list) or not isinstance(fills, list):
        return None
    signs = {"buy": 1, "sell": -1}
    still = {
        str(order["order_id"]): (signs[order["side"]], float(order["price"]), float(order["remaining"]))
        for order in orders
    }
    done = [
        (round(fill["timestamp"] * US_PER_S), signs[fill["side"]], float(fill["price"]), float(fill["size"]))
        for fill in fills
    ]
    seen = SeenOrders({}, done, client) if before is None else before
    for name in [name for name in seen.open if name not in still]:
        seen.end(name, now)
    seen.open.update(still)
    for name in still:
        seen.since.setdefault(name, now)
    seen.fills[:] = done
    del seen.ended[:-KEPT]
    return seen if still or done or seen.ended else None
