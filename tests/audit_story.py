"""Random orders and the audit logs that a trader would write for them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from audit_logs import open_log
from mm.instrument import E8, Instrument
from mm.live.audit.log import AuditLog
from mm.live.venues.fills import AccountFill

BTC = Instrument("BTCUSDT", E8 // 100, 1_000, 5 * E8, "BTC", "USDT")
FILL = AccountFill(7, 5, "a", 1, "100.00", "1.00000", "0.00100000", "BTC", 1_000, True)
CLIP = 4


@dataclass
class Story:
    """Rows of a log in order, without its start and stop."""

    rows: list[tuple[str, dict[str, Any]]]
    fills: list[AccountFill]

    def open_ids(self) -> set[str]:
        """Return the client ids of the orders that are still open after the rows."""
        found = {f["client_id"] for kind, f in self.rows if kind == "intent"}
        found -= {f["client_id"] for kind, f in self.rows if kind in ("cancel", "reject")}
        filled: dict[str, int] = {}
        for one in {fill.trade_id: fill for fill in self.fills}.values():
            filled[one.client_id] = filled.get(one.client_id, 0) + int(one.qty.split(".")[0])
        return {name for name in found if filled.get(name, 0) < CLIP}


def life(number: int, kinds: list[int], asset: str) -> Story:
    """Return the rows of one order: its answer, its fills and its end."""
    answer, fills, repeated, end = kinds
    client_id, side = f"r-{number}", 1 if number % 2 else -1
    name = {"action": "place", "client_id": client_id}
    rows: list[tuple[str, dict[str, Any]]] = [
        ("intent", name | {"side": side, "price": f"{100 + number}.50", "qty": f"{CLIP}.00000", "kind": "LIMIT"})
    ]
    if answer == 0:
        return Story(rows, [])
    if answer == 1:
        return Story([*rows, ("reject", name | {"code": -2010, "message": "would match"})], [])
    rows.append(("ack", name | {"order_id": 1_000 + number}))
    found = [
        replace(
            FILL,
            trade_id=10 * number + part,
            client_id=client_id,
            order_id=1_000 + number,
            side=side,
            price=f"{100 + number}.50",
            commission_asset=asset,
            us=50 + number,
        )
        for part in range(fills)
    ]
    rows += [("fill", one.row()) for one in found]
    if repeated and found:
        rows.append(("fill", found[0].row()))
    if end and fills < CLIP:
        ended = {"client_id": client_id, "order_id": 1_000 + number, "status": "CANCELED", "filled": f"{fills}.00000"}
        rows += [("intent", {"action": "cancel", "client_id": client_id}), ("cancel", ended)]
    return Story(rows, found)


def whole_story(lives: list[tuple[list[int], str]]) -> Story:
    """Return the events of several orders, one after the other."""
    parts = [life(number, kinds, asset) for number, (kinds, asset) in enumerate(lives, 1)]
    return Story([row for part in parts for row in part.rows], [fill for part in parts for fill in part.fills])


def stories(most: int = 12) -> st.SearchStrategy[Story]:
    """Return the events of up to *most* orders."""
    kinds = st.tuples(st.integers(0, 4), st.integers(0, CLIP), st.integers(0, 1), st.integers(0, 1)).map(list)
    return st.lists(st.tuples(kinds, st.sampled_from(("BTC", "USDT", "BNB"))), max_size=most).map(whole_story)


def many_orders(count: int) -> Story:
    """Return the events of *count* orders, of every kind."""
    return whole_story(
        [([n % 5, n % (CLIP + 1), n % 3 == 0, n % 2], ("BTC", "USDT", "BNB")[n % 3]) for n in range(count)]
    )


def written(log: AuditLog, story: Story, first: int = 0, last: int | None = None) -> None:
    """Append the rows of a story from *first* to *last*."""
    for kind, fields in story.rows[first:last]:
        log.append(kind, **fields)


def contract_log(out: Path) -> None:
    """Write a log of a contract: a buy, what the exchange shows then, funding, and a sale of a half of it."""
    shown = {"qty": "2.00000000", "entry_price": "100.00000000", "mark_price": "101.50000000"}
    shown |= {"liquidation_price": "0.00000000", "margin": "10.15000000", "maintenance_margin": "0.81200000"}
    bought = replace(FILL, qty="2.00000", commission="0.04", commission_asset="USDT", realized="0")
    sold = replace(bought, trade_id=8, side=-1, price="103.00", qty="1.00000", realized="3.00000000")
    log = open_log(out, BTC.symbol, "run0", clock=lambda: 1_000)
    log.start(BTC, "run0", venue="box", contract=True)
    log.append("fill", **bought.row())
    log.append("position", **shown, us=900)
    log.append("payment", id="FUNDING_FEE:1", kind="FUNDING_FEE", asset="USDT", amount="-0.02030000", us=950)
    log.append("fill", **sold.row())
    log.append("stop")
    log.close()


def played_logs(out: Path, story: Story, runs: int) -> None:
    """Write a story into the logs of several runs."""
    size = len(story.rows) // runs + 1
    for run in range(runs):
        log = open_log(out, BTC.symbol, f"run{run}")
        log.start(BTC, f"run{run}", venue="box", knobs={"gamma": run // 2})
        written(log, story, run * size, (run + 1) * size)
        log.append("stop")
        log.close()
