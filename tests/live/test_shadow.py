"""``mm shadow`` as a process at an exchange in a box, and the terms that are fixed at its start."""

import asyncio
import csv
import json
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from msgspec import json as msgspec_json
from shadowed import strategy
from trading_box import page

from day_files import defects_of
from mm.clock import now_us
from mm.errors import BrokenFile, TryLater, UsageError
from mm.instrument import Instrument, to_exchange_info
from mm.live.account.kill_switch import KillSwitch
from mm.live.run import live_terms
from mm.live.run.live_terms import TERMS, ShadowTerms, learn_terms
from mm.market_data.snapshot import RestClient
from mm.play.knobs import Market
from mm.sim.wire.box import Box
from simulation import make_box
from state_servers import free_port
from support import ROOT, run_python

SYMBOL = "SIMUSDT"
PATIENCE_S = 120.0
FILLED = "mm_fills_total{"
KNOBS = {
    "SYMBOL": SYMBOL,
    "WINDOW_START": "always",
    "WINDOW_TZ": f"Etc/GMT{time.gmtime().tm_hour - 12:+d}",
    "START_JITTER_S": "0",
    "FLUSH_INTERVAL_S": "0.05",
    "MIN_FREE_MB": "0",
    "INITIAL_INVENTORY": "10",
    "INITIAL_CASH": "100000",
    "REQUOTE_INTERVAL_MS": "20",
    "FILL_MODEL": "poisson",
    "FILL_PARAMS_JSON": '{"A": 3.0, "k": 0.3}',
}


@asynccontextmanager
async def running_box(speed=5.0):
    async with make_box("zero_intelligence", SYMBOL, speed=speed, limits=False, wire={"attempts": None}).open() as box:
        yield box


async def start_shadow(box, root, *words, command="shadow", **knobs):
    env = {**os.environ, **KNOBS, "PYTHONPATH": str(ROOT), "WS_URL": box.ws_url, "REST_URL": box.rest_url, **knobs}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mm", command, *words, env=env, cwd=root, stdout=pipe, stderr=pipe
    )


def frames(root):
    """Return the size of the recorded frames in bytes."""
    return sum(path.stat().st_size for path in root.glob(f"data/{SYMBOL}/*/orderbook*"))


async def recorded(process, root, wanted=100_000):
    """Wait until *wanted* more bytes of frames, of 100 ms each and about 1,000 bytes, have been recorded."""
    give_up_s = time.monotonic() + PATIENCE_S
    before = frames(root)
    while frames(root) < before + wanted:
        assert process.returncode is None, (await process.communicate())[1]
        assert time.monotonic() < give_up_s
        await asyncio.sleep(0.05)


async def filled(process, port):
    """Wait until the shadow's page shows a fill: a busy machine takes its time."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not any(float(one.split()[-1]) for one in await asyncio.to_thread(page, port) if one.startswith(FILLED)):
        assert process.returncode is None, (await process.communicate())[1]
        assert time.monotonic() < give_up_s
        await asyncio.sleep(0.2)


async def ended(process, number):
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_shadow_and_replay_is_equal(tmp_path, number):
    """Exit code 0, a sealed day, a run in the form of a backtest's; and a changed row is detected."""
    port = free_port()

    async def play():
        async with running_box() as box:
            process = await start_shadow(box, tmp_path, "--run-id", "R1", METRICS_PORT=str(port))
            await recorded(process, tmp_path, 200_000)
            await filled(process, port)
            return await ended(process, number)

    code, out, err = asyncio.run(play())
    assert code == 0, err
    assert "reconcile: " in out
    (day,) = (tmp_path / "data" / SYMBOL).iterdir()
    assert defects_of(day) == []
    folder = tmp_path / "out" / "shadow" / SYMBOL / f"{day.name}_R1"
    names = {path.name for path in folder.iterdir()}
    tables = {f"{name}_{SYMBOL}.csv" for name in ("orders", "fills", "state", "breaches", "decisions")}
    assert names == tables | {"summary.json", "report.html", "run_manifest.json", "reconcile.json", TERMS}
    found = json.loads((folder / "reconcile.json").read_text())
    assert found["equal"] == found["decisions"] > 50
    assert found["equal_fills"] == found["fills_live"] > 0
    assert "reconcile: " in (folder / "report.html").read_text()
    decisions = folder / f"decisions_{SYMBOL}.csv"
    rows = list(csv.DictReader(decisions.read_text().splitlines()))
    assert [int(row["recv_seq"]) for row in rows] == sorted(int(row["recv_seq"]) for row in rows)
    again = run_python("-m", "mm", "shadow", "reconcile", "R1", "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["equal"] == len(rows)
    decisions.write_text(decisions.read_text().replace(",keep,", ",place,", 1))
    changed = run_python("-m", "mm", "shadow", "reconcile", str(folder), cwd=tmp_path)
    assert changed.returncode == 3
    assert "the first difference: decision" in changed.stderr


@pytest.mark.slow
def test_next_shadow_logs_that_the_last_one_was_killed(tmp_path):
    """It may continue on the same day: its replay leaves out the rows of the killed one."""

    async def play():
        async with running_box() as box:
            killed = await start_shadow(box, tmp_path, "--run-id", "R1")
            await recorded(killed, tmp_path)
            killed.kill()
            await killed.communicate()
            process = await start_shadow(box, tmp_path, "--run-id", "R2")
            await recorded(process, tmp_path)
            return await ended(process, signal.SIGTERM)

    code, _, err = asyncio.run(play())
    assert code == 0, err
    assert "shadow_was_killed" in err
    (folder,) = (tmp_path / "out" / "shadow" / SYMBOL).iterdir()
    assert folder.name.endswith("_R2")
    found = json.loads((folder / "reconcile.json").read_text())
    assert found["same"]
    assert found["decisions"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("by", ["switch", "signal"])
def test_kill_ends_the_quoting_but_not_the_recording(tmp_path, by):
    """Exit code 0; run and replay have the instant and the reason, and a triggered switch blocks the next start."""

    async def play():
        async with running_box() as box:
            process = await start_shadow(box, tmp_path, "--run-id", "R1")
            await recorded(process, tmp_path)
            if by == "switch":
                KillSwitch(tmp_path / "out", SYMBOL).trigger("odd fills", now_us())
            else:
                process.send_signal(signal.SIGUSR1)
            await recorded(process, tmp_path)
            return await ended(process, signal.SIGTERM)

    code, _, err = asyncio.run(play())
    assert code == 0, err
    assert "killed" in err
    (folder,) = (tmp_path / "out" / "shadow" / SYMBOL).iterdir()
    killed = json.loads((folder / "summary.json").read_text())["risk"]["killed"]
    assert killed["reason"] == ("odd fills" if by == "switch" else "SIGUSR1")
    with (folder / f"orders_{SYMBOL}.csv").open(newline="") as file:
        placed = [int(row["recv_us"]) for row in csv.DictReader(file) if row["action"] == "PLACE"]
    assert 0 < max(placed) <= killed["us"]
    found = json.loads((folder / "reconcile.json").read_text())
    assert found["same"]
    assert ShadowTerms.read(folder).end_us > killed["us"] + 1_000_000
    again = run_python("-m", "mm", "shadow", "reconcile", "R1", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert KillSwitch(tmp_path / "out", SYMBOL).triggered == (by == "switch")
    if by == "switch":
        refused = run_python("-m", "mm", "shadow", cwd=tmp_path, **KNOBS)
        assert refused.returncode == 5
        assert "mm risk rearm" in refused.stderr


RAISES = """
class Raises:
    calls = 0

    def quote(self, view):
        self.calls += 1
        if self.calls == 100:
            raise RuntimeError("no more ideas")
"""


@pytest.mark.slow
def test_raising_model_ends_shadow_and_day_is_sealed(tmp_path):
    """With the model's own traceback, as in a backtest; there is no run folder."""
    (tmp_path / "ideas.py").write_text(RAISES)

    async def play():
        async with running_box() as box:
            path = os.pathsep.join([str(ROOT), str(tmp_path)])
            process = await start_shadow(box, tmp_path, QUOTE_MODEL="ideas:Raises", PYTHONPATH=path)
            _, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
            return process.returncode, err.decode()

    code, err = asyncio.run(play())
    assert code == 1, err
    assert "no more ideas" in err
    (day,) = (tmp_path / "data" / SYMBOL).iterdir()
    assert defects_of(day) == []
    assert list((tmp_path / "out" / "shadow" / SYMBOL).iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("knobs", "why"),
    [
        ({"WRITE_DIFFS": "0"}, "WRITE_DIFFS"),
        ({"FEED_LATENCY": "recorded"}, "FEED_LATENCY"),
        ({"WS_URL": "wss://fstream.binance.com"}, "serves futures"),
        ({"QUOTE_MODEL": "no_such"}, "no_such"),
    ],
)
def test_settings_that_cannot_be_replayed_are_rejected(tmp_path, knobs, why):
    """Before anything is requested or recorded."""
    done = run_python("-m", "mm", "shadow", cwd=tmp_path, **{**KNOBS, **knobs})
    assert done.returncode == 2
    assert why in done.stderr
    assert not (tmp_path / "data").exists()


def terms(tick="0.01", step="0.001", bid="99.99", ask="100.01"):
    entry = to_exchange_info(
        Instrument(SYMBOL, int(float(tick) * 1e8), round(float(step) * 1e8), 5 * 10**8, "SIM", "USDT")
    )
    return ShadowTerms(SYMBOL, "20260105", msgspec_json.decode(entry), bid, ask, 1_767_600_000_000_000)


@pytest.mark.parametrize(("step", "lot_e8"), [("0.001", 100), ("0.00001", 1), ("0.00000001", 1), ("1", 100_000)])
def test_lot_size_is_fixed_from_the_step(step, lot_e8):
    """It divides the step, so that the day's tape, whose lot divides all recorded quantities, can be played in it."""
    tape = terms(step=step).opening(Market())
    assert tape.instrument.lot_e8 == lot_e8
    assert tape.step_lots * lot_e8 == round(float(step) * 1e8)
    assert (tape.top_bid_ticks.tolist(), tape.top_ask_ticks.tolist()) == ([9_999], [10_001])


def test_market_knobs_override_the_terms(tmp_path):
    """A tick size must divide the exchange's, since recorded prices are multiples of that one alone."""
    assert terms().opening(Market(tick_size="0.005")).instrument.tick_e8 == 500_000
    with pytest.raises(UsageError, match="tick_size"):
        terms().opening(Market(tick_size="0.02"))
    assert terms().opening(Market(min_notional="7")).instrument.min_notional_e8 == 7 * 10**8
    assert len(terms(bid=None).opening(Market()).rows(0)) == 1


@pytest.mark.parametrize(("rate", "logged"), [("0.1", [("MAKER_FEE_RATE", "0.1")]), ("0.001", [])])
def test_implausible_fee_rate_is_logged(rate, logged):
    """Otherwise a shadow with ten percent of fees runs for days before its summary shows it."""
    warnings = []
    log = SimpleNamespace(warning=lambda event, **of: warnings.append((event, of["knob"], of["rate"])))
    knobs = strategy(account={"maker_fee_rate": rate})
    terms().play(knobs, SimpleNamespace(log=log))
    assert warnings == [("implausible_fee", *one) for one in logged]


def test_terms_are_read_back_as_written(tmp_path):
    for one in (terms(), replace(terms(), killed=(1_767_600_000_000_005, "odd fills"))):
        one.write(tmp_path)
        assert ShadowTerms.read(tmp_path) == one
    (tmp_path / TERMS).write_text("{}")
    with pytest.raises(BrokenFile, match="not the terms of a shadow"):
        ShadowTerms.read(tmp_path)


class Notes:
    """A log that keeps its warnings."""

    def __init__(self):
        self.warnings = []

    def warning(self, event, **numbers):
        self.warnings.append((event, numbers["cause"]))


async def _learned(symbol, script=""):
    notes = Notes()
    async with Box.in_lockstep("large_tick", faults=[script]).open() as box:
        await box.advance(seconds=1)
        rest = RestClient(box.rest_url, clock=lambda: box.scheduler.done_us)
        try:
            return await learn_terms(rest, symbol, "20260105", notes), notes.warnings
        finally:
            await rest.close()


def test_silent_exchange_is_requested_again(monkeypatch):
    """Each cause is logged once."""
    monkeypatch.setattr(live_terms, "_RETRY_S", 0.0)
    script = "at request 1 of /api/v3/exchangeInfo do status code=503 n=3\nat request 1 of /api/v3/depth do broken_body"
    found, warnings = asyncio.run(_learned(SYMBOL, script))
    assert warnings[0] == ("exchange_silent", "http 503")
    assert len(warnings) == 2
    assert float(found.best_bid) < float(found.best_ask)
    assert found.entry["symbol"] == SYMBOL


def test_server_of_another_market_ends_a_start_with_the_key_that_is_missing(monkeypatch):
    """It answers 404, for ever; once or twice so does one that is restarted."""
    monkeypatch.setattr(live_terms, "_RETRY_S", 0.0)
    script = "at request 1 of /api/v3/exchangeInfo do status code=404 n={}"
    with pytest.raises(TryLater, match="the key market"):
        asyncio.run(_learned(SYMBOL, script.format(0)))
    found, _ = asyncio.run(_learned(SYMBOL, script.format(3)))
    assert found.entry["symbol"] == SYMBOL


def test_lasting_silence_is_logged_repeatedly(monkeypatch):
    """A wrong address once logged one line, and nothing for hours."""
    monkeypatch.setattr(live_terms, "_RETRY_S", 0.0)
    _, warnings = asyncio.run(_learned(SYMBOL, "at request 1 of /api/v3/exchangeInfo do status code=503 n=125"))
    assert warnings == [("exchange_silent", "http 503")] * 3


def test_unknown_symbol_raises_usage_error():
    with pytest.raises(UsageError, match="NOSUCH"):
        asyncio.run(_learned("NOSUCH"))
