"""From Bybit's archive to a walk-forward: days of a simulated market with known A and k, fetched from a server."""

import csv
import gzip
import io
import json
import zipfile

import pytest
from test_bybit_days import places, rest_answer, serving

from support import run_mm

SYMBOL, DAYS = "SIMUSDT", ("20260701", "20260702", "20260703")
A, K = 0.6, 0.4


def short(text):
    """Return a decimal without its last zeros, as the exchange writes it."""
    return text.rstrip("0").rstrip(".") or "0"


def frame(kind, ms, bids, asks, number):
    rows = {name: [[short(price), short(qty)] for price, qty in side] for name, side in (("b", bids), ("a", asks))}
    data = {"s": SYMBOL, **rows, "u": number, "seq": number}
    return json.dumps({"topic": f"orderbook.200.{SYMBOL}", "type": kind, "ts": ms + 2, "data": data, "cts": ms})


def archived(folder, day):
    """Return a recorded day as the files that the archive would publish."""
    (snapshot,) = (folder / "snapshots").iterdir()
    with snapshot.open() as file:
        levels = list(csv.DictReader(file))
    bids, asks = ([(row["price"], row["qty"]) for row in levels if row["side"] == side] for side in ("bid", "ask"))
    (diffs,) = (folder / "diffs").iterdir()
    with gzip.open(diffs, "rt") as file:
        later = [diff for diff in map(json.loads, file) if diff["u"] > int(levels[0]["lastUpdateId"])]
    lines = [frame("snapshot", later[0]["E"] - 100, bids, asks, 1_000)]
    lines += [frame("delta", diff["E"], diff["b"], diff["a"], 1_001 + at) for at, diff in enumerate(later)]
    rows = ["timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue"]
    (trades,) = folder.glob("trades_ws_*")
    with trades.open() as file:
        for row in csv.DictReader(file):
            side = "Sell" if row["is_buyer_maker"] == "true" else "Buy"
            at, name = int(row["trade_time_ms"]) / 1_000, f"00000000-{row['trade_id']}"
            rows.append(f"{at:.4f},{SYMBOL},{side},{short(row['qty'])},{short(row['price'])},PlusTick,{name},0")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("book.data", "\n".join(lines) + "\n")
    return dict(zip(places(day), (packed.getvalue(), gzip.compress("\n".join(rows).encode())), strict=True))


def answers(name, asked):
    told = rest_answer(name, asked)
    if name == "instruments-info":
        told["list"][0]["priceFilter"]["tickSize"] = "0.01"
    return told


@pytest.mark.slow
def test_fetched_days_have_the_market_that_made_them(tmp_path):
    """Planted A and k are recovered, and each command of the path ends with 0, in one shell."""
    flow = "--scenario", "poisson", "--A", str(A), "--k", str(K), "--hours", "1"
    files = {}
    for seed, day in enumerate(DAYS):
        simulated = "sim", "day", "--symbol", SYMBOL, "--day", day, "--seed", str(seed), *flow, "--data-root", "made"
        assert run_mm(*simulated, cwd=tmp_path).returncode == 0
        files |= archived(tmp_path / "made" / SYMBOL / day, day)
    every = "--symbol", SYMBOL, "--day", f"{DAYS[0]}:{DAYS[-1]}"
    with serving(files, answers=answers) as base:
        given = dict.fromkeys(("BYBIT_BOOK_ARCHIVE", "BYBIT_TRADES_ARCHIVE", "BYBIT_REST"), base)
        fetched = run_mm("data", "fetch", "--market", "bybit", *every, cwd=tmp_path, **given)
    assert fetched.returncode == 0, fetched.stderr
    for words in (
        ("data", "check", *every),
        ("calibrate", *every),
        ("schedule", *every, "--wf-train-window-min", "20"),
        ("backtest", *every, "--fit", "last"),
        ("walkforward", *every, "--wf-train-window-min", "20"),
        ("evaluate", *every),
        ("sweep", "--symbol", SYMBOL, "--day", DAYS[0], "--grid", "k=0.3,0.5"),
    ):
        done = run_mm(*words, cwd=tmp_path)
        assert done.returncode == 0, (words, done.stderr)
    (fit,) = (tmp_path / "out" / "calibration").rglob("poisson_fit.json")
    found = json.loads(fit.read_text())
    assert found["A"] == pytest.approx(A, rel=0.1)
    assert found["k"] == pytest.approx(K, rel=0.1)
    (summary,) = (tmp_path / "out" / "backtest").glob(f"{SYMBOL}/*/summary.json")
    reported = run_mm("report", str(summary.parent), cwd=tmp_path)
    assert reported.returncode == 0, reported.stderr
    told = json.loads(summary.read_text())
    assert not [line for line in told["warnings"] if "funding" in line]
    assert [line for line in told["warnings"] if line.startswith("fees_assumed")]
