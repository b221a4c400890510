"""``mm trade`` at the exchange in a box: its files match the exchange's own books, and it ends as it should."""

import json
import signal
import tempfile
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from trading_box import ended, host_of, venue
from trading_truth import assert_only_cancels_after

from mm.market_data.rate_budget import RateBudget, shared_path
from support import in_time

FEW = 5  # fills to wait for


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """Yield the exchange after two successive trades, both ended by SIGTERM, and how they ended."""
    with venue(tmp_path_factory.mktemp("trade")) as box:
        ends = []
        for wanted in (FEW, 2 * FEW):
            with box.trader() as process:
                box.until(lambda wanted=wanted: len(box.account()["trades"]) >= wanted, "fills")
                ends.append(ended(process))
        yield box, ends


@pytest.mark.slow
def test_sigterm_ends_the_trade_in_order_and_in_time(traded):
    _, ends = traded
    for code, output, seconds in ends:
        assert code == 0, output
        assert in_time(seconds, 30)


def test_run_files_match_exchange_trades_and_balances(traded):
    box, _ = traded
    last = box.table("state")[-1]
    position, cash = box.balance_change()
    assert Decimal(last["inventory"]) == position
    assert Decimal(last["cash"]) - 1_000_000 == cash
    theirs = {int(one["id"]): one for one in box.account()["trades"]}
    ours = [row for folder in box.folders() for row in box.table("fills", folder)]
    assert sorted(int(row["trade_id"]) for row in ours) == sorted(theirs)
    for row in ours:
        trade = theirs[int(row["trade_id"])]
        assert (row["price"], row["qty"]) == (trade["price"], trade["qty"])
        assert (row["commission"], row["commission_asset"]) == (trade["commission"], trade["commissionAsset"])
        assert row["side"] == ("BUY" if trade["isBuyer"] else "SELL")
        value = Decimal(row["commission"]) * (Decimal(row["price"]) if row["commission_asset"] == "SIM" else 1)
        assert abs(Decimal(row["fee"]) - value) <= Decimal("0.5e-8")


def test_inventory_and_cash_change_by_the_sum_of_fills(traded):
    box, _ = traded
    for folder in box.folders():
        fills, state = box.table("fills", folder), box.table("state", folder)
        before = Decimal(fills[0]["inventory_after"]) - _moved(fills[0])[0]
        assert Decimal(state[0]["inventory"]) == before
        moves = [sum(parts) for parts in zip(*(_moved(row) for row in fills), strict=True)]
        assert Decimal(state[-1]["inventory"]) - before == moves[0]
        assert Decimal(state[-1]["cash"]) - Decimal(state[0]["cash"]) == moves[1]


def _moved(row):
    """Return the change of position and cash by a fill, including its commission."""
    sign = 1 if row["side"] == "BUY" else -1
    qty, price, fee = (Decimal(row[name]) for name in ("qty", "price", "commission"))
    base = row["commission_asset"] == "SIM"
    return sign * qty - (fee if base else 0), -sign * qty * price - (0 if base else fee)


def test_audit_log_contains_every_order_of_the_exchange(traded):
    box, _ = traded
    account = box.account()
    assert account["openOrders"] == []
    intended = {row["client_id"] for row in box.rows("intent") if row["action"] != "cancel"}
    assert {one["clientOrderId"] for one in account["orders"]} <= intended
    booked = {row["trade_id"] for row in box.rows("fill")}
    assert booked == {int(one["id"]) for one in account["trades"]}


def test_audit_logs_verify_and_second_names_the_first(traded):
    box, _ = traded
    assert len(box.logs()) == 2
    for path in box.logs():
        done = box.run("audit", "verify", str(path))
        assert done.returncode == 0, done.stderr
    start = json.loads(box.logs()[1].read_text().splitlines()[0])
    assert [one["file"] for one in start["earlier"]] == [box.logs()[0].name]


def test_second_trade_starts_with_account_of_the_first(traded):
    box, _ = traded
    first, second = box.folders()
    assert box.table("state", second)[0]["inventory"] == box.table("state", first)[-1]["inventory"]
    assert box.table("state", second)[0]["cash"] == box.table("state", first)[-1]["cash"]


def test_decision_rows_never_decrease_in_recv_seq(traded):
    box, _ = traded
    for folder in box.folders():
        rows = box.table("decisions", folder)
        numbers = [int(row["recv_seq"]) for row in rows]
        assert len(rows) > 1  # their number depends on how soon the awaited fills came
        assert numbers == sorted(numbers)
        assert all(int(row["lag_us"]) >= 0 for row in rows)


def test_state_store_contains_all_trades_of_the_exchange(traded):
    box, _ = traded
    shown = json.loads(box.run("state", "show", "--json").stdout)
    assert {int(row["trade_id"]) for row in shown["fills"]} == {int(one["id"]) for one in box.account()["trades"]}


def test_files_and_output_contain_no_key(traded):
    box, ends = traded
    alice = box.ready["accounts"][0]
    texts = [path.read_bytes() for path in box.folder.rglob("*") if path.is_file()]
    texts += [output.encode() for _, output, _ in ends]
    for secret in (alice["api_key"], alice["secret"]):
        assert not any(secret.encode() in text for text in texts)


@pytest.mark.slow
def test_manual_kill_cancels_orders_and_blocks_next_start(tmp_path):
    with venue(tmp_path) as box:
        with box.trader() as process:
            box.until(lambda: box.account()["openOrders"], "an order")
            assert box.run("risk", "kill").returncode == 0
            code, output, seconds = ended(process, number=None)
        assert code == 5, output
        assert in_time(seconds, 15)
        (kill,) = box.rows("kill")
        account = box.account()
        assert account["openOrders"] == []
        assert_only_cancels_after(box, kill["us"], 1_000_000)
        again = box.run("trade")
        assert again.returncode == 5
        assert "mm risk rearm" in again.stderr
        assert box.account()["requests"] == account["requests"]
        assert box.run("risk", "rearm").returncode == 0
        with box.trader() as process:
            box.until(lambda: box.account()["openOrders"], "an order after the re-arm")
            assert ended(process)[0] == 0


@pytest.mark.slow
def test_loss_limit_kills_the_trade(tmp_path):
    with venue(tmp_path) as box:
        with box.trader("--max-daily-loss", "0.02") as process:
            code, output, _ = ended(process, number=None, seconds=120)
        assert code == 5, output
        (kill,) = box.rows("kill")
        assert kill["reason"] == "MAX_DAILY_LOSS"
        assert "MAX_DAILY_LOSS" in {row["limit"] for row in box.rows("breach")}
        placed = [one for one in box.account()["requests"] if one["method"] == "order.place"]
        assert all(one["us"] <= kill["us"] for one in placed)
        assert box.account()["openOrders"] == []


@pytest.mark.slow
def test_sigusr1_kills_the_trade(tmp_path):
    with venue(tmp_path) as box, box.trader() as process:
        box.until(lambda: box.account()["openOrders"], "an order")
        code, output, _ = ended(process, signal.SIGUSR1)
        assert code == 5, output
        assert json.loads(box.run("risk", "status", "--json").stdout)["killed"] is True
        (kill,) = box.rows("kill")
        summary = json.loads((box.folders()[-1] / "summary.json").read_text())
        assert summary["risk"]["killed"]["reason"] == kill["reason"] == "SIGUSR1"  # it was null: "nothing ended …"
        assert abs(summary["risk"]["killed"]["us"] - kill["us"]) < 1_000_000
        assert "bias unknown" not in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "code", "why"),
    [
        ({"BINANCE_API_KEY": ""}, 2, "no API key"),
        ({"BINANCE_API_SECRET": "wrong"}, 2, "does not accept the API key"),
        ({"SYMBOL": "NOPE"}, 2, "not known"),
        ({"VENUE": "production"}, 5, "second switch"),
        ({"VENUE": "production", "TRADE_PRODUCTION": "SIMUSDT:9"}, 5, "MAX_POSITION"),
        ({"VENUE": "testnet", "REST_URL": "https://api.binance.com"}, 5, "production exchange"),
        ({"REST_URL": ""}, 2, "REST_URL"),
    ],
)
def test_invalid_start_sends_nothing_and_prints_one_error(traded, variables, code, why):
    box, _ = traded
    before = box.account()["requests"]
    done = box.run("trade", **variables)
    assert done.returncode == code, done.stderr
    line = [text for text in done.stderr.splitlines() if text.startswith("error:")]
    assert len(line) == 1
    assert why in line[0]
    assert box.account()["requests"] == before


@pytest.mark.slow
def test_start_that_waits_for_request_weight_logs_wait_time(tmp_path, monkeypatch):
    """As after many other starts within a minute; nothing is sent if it is stopped before."""
    with venue(tmp_path) as box:
        monkeypatch.setattr(tempfile, "tempdir", str(host_of(box.folder)))  # what processes of the trader's host share
        RateBudget(6_000, 60.0, shared_path("weight", urlsplit(box.url).netloc)).used(6_000)
        with box.trader() as process:
            box.until(lambda: _logged(box, "weight_awaited"), "a line that it waits", process=process)
            code, output, _ = ended(process)
        assert code == 75, output
        assert "nothing was sent" in output
        for line in _logged(box, "weight_awaited"):  # one for each request: those of a start go at once
            assert 0 < line["wait_s"] <= 60
            assert line["window_s"] == 60
            assert 0 < line["limit"] <= 6_000


def _logged(box, event):
    """Return the events of a name in the logs of all runs."""
    logs = (box.folder / "out" / "logs").rglob("run.log")
    lines = [json.loads(line) for path in logs for line in path.read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


@pytest.mark.slow
def test_silenced_start_prints_duration_of_silence(tmp_path):
    with venue(tmp_path) as box:
        box.post("/sim/faults", "at time 0 do status path=/api/v3/time code=429 retry_after=7")
        done = box.run("trade")
        assert done.returncode == 75
        assert "has blocked requests for" in done.stderr
        assert box.account()["requests"] == []


@pytest.mark.slow
def test_second_trader_of_the_account_is_rejected(tmp_path):
    with venue(tmp_path) as box, box.trader() as process:
        box.until(lambda: box.account()["openOrders"], "an order")
        done = box.run("trade")
        assert done.returncode == 75
        assert "another trader" in done.stderr
        elsewhere = tmp_path / "tmp"
        elsewhere.mkdir()
        done = box.run("trade", TMPDIR=str(elsewhere))  # as in another container, which has this OUT_ROOT
        assert done.returncode == 75
        assert "another trader" in done.stderr
        assert ended(process)[0] == 0


@pytest.mark.slow
def test_changed_knobs_are_logged_once(tmp_path):
    with venue(tmp_path) as box:
        for most in ("10", "5", "5"):
            with box.trader(MAX_POSITION=most) as process:
                box.until(lambda: box.account()["openOrders"], "an order", process=process)
                assert ended(process)[0] == 0
        (changed,) = [row["changed"] for row in box.rows("params") if "changed" in row]
        assert changed == {"max_position": ["10", "5"]}


@pytest.mark.slow
def test_exchange_that_was_wiped_is_refused(tmp_path):
    """Ids of a restarted exchange begin again, with equal keys and equal orders: nothing of it is booked as known."""
    with venue(tmp_path) as box, box.trader() as process:
        box.until(lambda: box.rows("fill"), "a fill", process=process)
        assert ended(process)[0] == 0
        fills = len(box.rows("fill"))
    with venue(tmp_path) as box:
        again = box.run("trade")
        assert again.returncode == 3
        assert "was reset" in again.stderr.splitlines()[-1]
        assert len(box.rows("fill")) == fills
        assert not box.account()["trades"]
        assert len(box.folders()) == 1


@pytest.mark.slow
def test_keys_from_file_and_flags_leave_no_trace(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    with venue(work) as box:
        alice, file = box.ready["accounts"][0], tmp_path / "key.pem"
        signed = box.ed25519(file)
        file.chmod(0o644)
        refused = box.run("trade", **signed)
        assert refused.returncode == 5
        assert "chmod 600" in refused.stderr
        file.chmod(0o600)
        with box.trader(**signed) as process:
            box.until(lambda: box.account()["openOrders"], "an order", process=process)
            assert ended(process)[0] == 0
        flags = ("--api-key", alice["api_key"], "--api-secret", alice["secret"])
        with box.trader(*flags, BINANCE_API_KEY="", BINANCE_API_SECRET="") as process:
            box.until(lambda: box.account()["openOrders"], "an order", process=process)
            shown = [Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
            code, output, _ = ended(process)
        assert code == 0, output
        assert "key_on_command_line" in output
        shown += [output.encode(), *(path.read_bytes() for path in box.folder.rglob("*") if path.is_file())]
        for secret in (alice["api_key"], alice["secret"], alice["ed25519_private_key"].splitlines()[1]):
            assert not any(secret.encode() in text for text in shown)
