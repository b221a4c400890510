"""Finished trades of ours, made of orders that others had on a simulated day: the order log knows all of them."""

import json

import numpy as np
import polars as pl

from mm.base.audit_chain import audit_path
from mm.dayfolder.layout import ROW_CANCEL, ROW_REST, ROW_TRADE, day_folder
from mm.instrument import short_text
from mm.live.audit.log import AuditLog
from mm.runs.manifest import MANIFEST
from mm.tape.load import load_day


def write_run(out, symbol, day, run_id, kind="trade"):
    """Write a run folder with nothing but its manifest, and return it."""
    folder = out / kind / symbol / f"{day}_{run_id}"
    folder.mkdir(parents=True)
    words = {"kind": kind, "symbol": symbol, "day": day, "run_id": run_id, "status": "ok", "version": "0"}
    words |= {"started_at": "2026-01-05T07:00:00Z", "finished_at": "2026-01-05T08:00:00Z", "digest": "0" * 64}
    content = {"schema_version": 1, **words, "commit": None, "knobs": {}, "inputs": [], "outputs": [], "summary": {}}
    (folder / MANIFEST).write_text(json.dumps(content | {"timings": {}}))
    return folder


def write_log(out, symbol, day, run_id, rows):
    """Write the audit log of orders: rows of (us, type, fields)."""
    log = AuditLog(audit_path(out, symbol, day, run_id), sync=False)
    log.append("start", symbol=symbol, run_id=run_id)
    for us, kind, fields in rows:
        log.append(kind, us=us, **fields)
    log.append("stop")
    log.close()
    return log.path


def orders_near_the_touch(root, symbol, day, count, seed):
    """Return audit rows of *count* orders of the market that joined at most a tick behind the best price."""
    folder = day_folder(root, symbol, day)
    tape, log = load_day(folder), pl.read_parquet(folder.order_log)
    rested = log.filter((pl.col("kind") == ROW_REST) & (pl.col("us") > tape.start_us + 5_000_000))
    at = np.searchsorted(tape.event_us[tape.top_event], rested["us"].to_numpy(), side="right") - 1
    side = rested["side"].to_numpy()
    best = np.where(side > 0, tape.top_bid_ticks[at], tape.top_ask_ticks[at])
    near = rested.filter(pl.Series(np.abs(best - rested["ticks"].to_numpy()) <= 1))
    picked = near.sample(min(count, len(near)), seed=seed).sort("us")
    grid, ids, rows = tape.instrument, set(picked["order_id"].to_list()), []
    for row in picked.iter_rows(named=True):
        own = {"client_id": str(row["order_id"])}
        quantity = short_text(row["lots"] * grid.lot_e8)
        terms = {"side": row["side"], "price": short_text(row["ticks"] * grid.tick_e8), "qty": quantity}
        rows += [(row["us"], "intent", {"action": "place", "kind": "LIMIT_MAKER", **terms, **own})]
        rows += [(row["us"], "ack", {"action": "place", **own})]
    ours = log.filter(pl.col("other_id").is_in(ids) & (pl.col("kind") == ROW_TRADE))
    for row in ours.iter_rows(named=True):
        terms = {"trade_id": row["trade_id"], "qty": short_text(row["lots"] * grid.lot_e8)}
        rows.append((row["us"], "fill", {"client_id": str(row["other_id"]), **terms}))
    for row in log.filter(pl.col("order_id").is_in(ids) & (pl.col("kind") == ROW_CANCEL)).iter_rows(named=True):
        rows.append((row["us"], "cancel", {"client_id": str(row["order_id"]), "status": "CANCELED"}))
    return sorted(rows, key=lambda row: row[0])
