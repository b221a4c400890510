"""``mm record`` of a perpetual from ``mm sim serve --market usdm``, as processes: a sealed day with its funding."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

import mm as mm_package
from mm.instrument import e8
from mm.tape.columns import SNAPSHOT
from serving import serving
from support import ROOT

_WINDOW = {"WINDOW_START": "00:00", "WINDOW_END": "23:59", "WINDOW_TZ": "UTC", "START_JITTER_S": "0"}


def mm(*words: str, **variables: str) -> subprocess.Popen[str]:
    """Start a command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LOG_LEVEL": "WARNING", **variables}
    command = [sys.executable, "-m", "mm", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def assert_freshest(day: Path) -> None:
    """The tape's best prices are the newest by update id, of the depth messages as they replay, and `bookTicker`."""
    tape = mm_package.load_day(day)
    tick, rows = tape.instrument.tick_e8, []
    (best,), (diffs,) = day.glob("best_*.csv"), day.glob("diffs/*")
    for row in csv.DictReader(best.read_text().splitlines()):
        prices = e8(row["bid_price"]) // tick, e8(row["ask_price"]) // tick
        rows.append((int(row["recv_seq"]), int(row["update_id"]), prices))
    (path,) = day.glob("snapshots/*.csv")
    levels: dict[str, dict[int, str]] = {"bid": {}, "ask": {}}
    for row in csv.DictReader(path.read_text().splitlines()):
        levels[row["side"]][e8(row["price"]) // tick] = row["qty"]
    known = int(row["lastUpdateId"])
    for line in gzip.decompress(diffs.read_bytes()).splitlines():
        told = json.loads(line)
        if told["u"] < known:
            continue
        for side, key in (("bid", "b"), ("ask", "a")):
            levels[side].update({e8(price) // tick: qty for price, qty in told[key]})
        bids, asks = ([ticks for ticks, qty in levels[side].items() if float(qty)] for side in ("bid", "ask"))
        rows.append((told["recv_seq"], told["u"], (max(bids), min(asks))))
    loaded = int(tape.recv_seq[(tape.kind == SNAPSHOT).argmax()])
    newest, expected = 0, dict[int, tuple[int, int]]()
    for seq, number, prices in sorted(rows):
        if seq > loaded and number >= newest:
            newest, expected[seq] = number, prices
    tops = dict(
        zip(
            tape.recv_seq[tape.top_event].tolist(),
            zip(tape.top_bid_ticks.tolist(), tape.top_ask_ticks.tolist(), strict=True),
            strict=True,
        )
    )
    shown, moved = None, 0
    for seq in sorted(expected.keys() | tops.keys()):
        shown = tops.get(seq, shown)
        if seq in expected:
            assert shown == expected[seq], (seq, shown, expected[seq])
            moved += seq in tops
    assert moved > 10


def test_a_recorded_contract_is_a_sealed_day_with_the_payments_of_the_exchange(tmp_path: Path) -> None:
    """The recorder needs no more than MARKET and addresses; its ledger has rates and mark prices as they were paid."""
    flags = ("--market", "usdm", "--scenario", "zero_intelligence", "--seed", "5", "--funding-interval-s", "1")
    with serving(*flags) as (_, ready), httpx.Client(base_url=ready["rest_url"], trust_env=False) as http:
        ends_s = time.monotonic() + 60
        while not http.get("/fapi/v1/fundingRate").json() and time.monotonic() < ends_s:
            time.sleep(0.2)
        addresses = {"WS_URL": ready["ws_url"], "REST_URL": ready["rest_url"]}
        places = {"DATA_ROOT": str(tmp_path / "data"), "OUT_ROOT": str(tmp_path / "out")}
        recorder = mm("record", SYMBOL="SIMUSDT", MARKET="usdm", **addresses, **places, **_WINDOW)
        found: list[Path] = []
        while time.monotonic() < ends_s and not (found and found[0].stat().st_size > 20_000):
            time.sleep(0.2)
            found = list((tmp_path / "data").glob("SIMUSDT/*/orderbook_ws_depth_*.csv"))
        recorder.send_signal(signal.SIGTERM)
        _, errors = recorder.communicate(timeout=60)
        paid = http.get("/fapi/v1/fundingRate?limit=1000").json()
        (contract,), (best,) = (list(found[0].parent.glob(f"{name}_*.csv")) for name in ("contract", "best"))
        told, bests = (list(csv.DictReader(path.read_text().splitlines())) for path in (contract, best))
        for row in bests[:: max(1, len(bests) // 20)]:
            book = http.get(f"/sim/truth?id={row['update_id']}").json()
            sides = [(book["bids"] or [["0.00000000"] * 2])[0], (book["asks"] or [["0.00000000"] * 2])[0]]
            assert sides == [[row["bid_price"], row["bid_qty"]], [row["ask_price"], row["ask_qty"]]]
    marks = [row for row in told if row["kind"] == "mark"]
    assert {row["kind"] for row in told} == {"mark", "open_interest"}
    assert len({row["event_time_ms"] for row in marks}) == len(marks) > 1
    assert all(row["mark_price"] == row["index_price"] and int(row["event_time_ms"]) % 1_000 == 0 for row in marks)
    assert len(bests) > 10
    assert (recorder.returncode, errors) == (0, "")
    day = found[0].parent
    assert_freshest(day)
    check = mm("data", "check", str(day))
    assert (check.communicate(timeout=60)[1], check.returncode) == ("", 0)
    (ledger,) = day.glob("events_*.csv")
    with ledger.open() as file:
        rows = [json.loads(row["details_json"]) for row in csv.DictReader(file) if row["type"] == "funding"]
    exact = {one["fundingTime"]: (one["fundingRate"], one["markPrice"]) for one in paid}
    assert rows
    assert all(exact[row["paid_ms"]] == (row["rate"], row["mark_price"]) for row in rows)
    assert json.loads((day / "instrument.json").read_text())["contractType"] == "PERPETUAL"
