"""One backtest, many callers: each plays a setup exactly as ``mm backtest`` does.

Every caller is used as its user does: a command, or a function of ``mm``. The command's own files are the reference.
"""

import csv
import json
import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import mm
from fill_predictors import written
from mm.trials.own_content import own_content
from paper_plays import shadow_of
from rl_agents import agent_at
from support import run_mm

MANIFEST, UNEARNED = "run_manifest.json", "fee_not_earned"
FIRST, SECOND = "20260105", "20260106"
OWN_MODELS = '''
import mm


class Micro:
    """Quotes around the micro-price, which is fitted on earlier days."""

    signals = ("micro_price",)

    def __init__(self, ticks: float = 2.0):
        self.ticks = ticks

    def quote(self, view: mm.QuoteView) -> mm.Quotes | None:
        price = view.signal("micro_price")
        if price is None:
            return None
        middle = price / view.tick
        return mm.Quotes(middle - self.ticks, middle + self.ticks)


class Half:
    """Fills half of each print at our price or beyond."""

    def on_trade(self, order: mm.OrderView, trade: mm.TradeView) -> int:
        through = order.side * (order.ticks - trade.ticks) >= 0
        return trade.lots // 2 if through and trade.side != order.side else 0


class Hedge:
    """A bid and an ask at the best prices; hedges in the lead, whose last move it follows."""

    signals = ("lead.return_500ms",)

    def on_event(self, market: mm.QuoteView, orders: mm.Orders) -> None:
        moved, lead = market.signal("lead.return_500ms") or 0.0, market.other("lead")
        for name, side, best in (("bid", 1, market.bid_ticks), ("ask", -1, market.ask_ticks)):
            wanted = side * moved > -0.4
            if name in orders and (orders[name].ticks != best or not wanted):
                orders.cancel(name)
            elif wanted and name not in orders:
                orders.submit(side, best, client_id=name)
        legs = orders.inventory_lots - market.target_lots + orders.at("lead").inventory_lots
        if lead.mid is not None and not len(orders.at("lead")) and abs(legs) >= market.quote_lots:
            side = -1 if legs > 0 else 1
            orders.at("lead").submit(side, lead.ask_ticks if side > 0 else lead.bid_ticks, abs(legs), "IOC")
'''


class Setup(NamedTuple):
    """Symbol, days and knobs of a backtest."""

    knobs: Mapping[str, Any]
    symbol: str = "SIMUSDT"
    day: str = SECOND

    @property
    def single(self) -> bool:
        """Whether it is of one day."""
        return ":" not in self.day

    def variables(self, **more: Any) -> dict[str, str]:
        """Return the knobs as the environment gives them."""
        given = {"symbol": self.symbol, "day": self.day, "initial_inventory": "50", **self.knobs, **more}
        return {
            name.upper(): json.dumps(value) if isinstance(value, dict) else str(value) for name, value in given.items()
        }


FEES = {"taker_fee_rate": 0.0001, "maker_fee_rate": 0.05}  # no exchange has the second
LEAD = {"lead": {"symbol": "LEADUSDT", "orders": {"latency_file": "latencies.csv"} | FEES}}
SETUPS = {
    "defaults": Setup({}),
    "several days": Setup({"maker_fee_rate": "0.0001", "fill_model": "trade_cross"}, day=f"{FIRST}:{SECOND}"),
    "fit": Setup({"fill_params_file": "fit.json", "quote_model": "glft", "quote_levels": 2}),
    "poisson with a band": Setup({"fill_params_file": "fit.json", "fill_model": "poisson", "fit_draws": 2, "seed": 5}),
    "rates per side": Setup({"fill_params_file": "fit.json", "fill_model": "poisson", "fill_per_side": 1}),
    "schedule": Setup({"fill_params_file": "schedule.json", "fill_model": "poisson"}),
    "latencies and limits": Setup(
        {"latency_file": "latencies.csv", "max_position": "0.5", "size_ramp": "[0.5, 1]", "quote_qty": "0.2"}
    ),
    "hybrid": Setup(
        {"fill_model": "hybrid", "fill_params_json": {"models": [["trade_cross", {"share": 0.5}], ["price_cross", {}]]}}
    ),
    "steps": Setup(
        {
            "quote_model": "steps",
            "quote_params_json": {
                "model": ["fixed_spread", {"delta_ticks": 2.5}],
                "steps": [["inventory_bound", {"q_max": 3}], ["post_only", {}]],
            },
        }
    ),
    "exponent of a queue": Setup({"queue_exponent_file": "SIMUSDT_queue_exponent.json"}),
    "micro-price": Setup({"quote_model": "parity_models:Micro", "quote_params_json": {"ticks": 1.5}}),
    "own fill model": Setup({"fill_model": "parity_models:Half"}),
    "predictor": Setup(
        {
            "quote_model": "fixed_spread",
            "quote_params_json": {"delta_ticks": 2.0},
            "fill_model": "predicted",
            "fill_params_json": {"predictor": "predictor"},
        }
    ),
    "agent": Setup({"quote_model": "rl", "quote_params_json": {"model_path": "agent.zip"}}),
    "trades missing": Setup({"fill_model": "trade_cross", "fill_params_json": {"share": 0.5}}, "GAPUSDT", FIRST),
    "another market and leg": Setup({"quote_model": "parity_models:Hedge", "others": LEAD}, "FOLUSDT", FIRST),
}


class Played(NamedTuple):
    """A backtest by ``mm backtest``."""

    setup: Setup
    folder: Path
    desk: Path

    def summary(self) -> dict[str, Any]:
        """Return its summary."""
        found: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return found

    def read(self) -> set[tuple[str, str]]:
        """Return path and sha256 of the files that it has read, but for the exponent of a sensitivity."""
        return {(path, sha256) for path, sha256 in _inputs(self.folder) if "queue_exponent" not in path}


def _inputs(folder: Path) -> set[tuple[str, str]]:
    """Return path and sha256 of the inputs of a run."""
    return {(entry["path"], entry["sha256"]) for entry in json.loads((folder / MANIFEST).read_text())["inputs"]}


def _keyed(warnings: list[str]) -> list[str]:
    """Return the warnings of a run that begin with a name, its leg's too; a fee is explained by more or less."""
    named = re.compile(r"(?:lead: )?([a-z]+(?:_[a-z]+)+|excluded): ")
    return sorted(line for line in warnings if (found := named.match(line)) and found[1] != UNEARNED)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Return a folder with days, a fit, a schedule, and models of a user."""
    folder = tmp_path_factory.mktemp("parity")
    for symbol, scenario in (
        ("SIMUSDT", ("poisson", "--seed", "3")),
        ("LEADUSDT", ("poisson",)),
        ("FOLUSDT", ("follower", "--seed", "1", "--lead-seed", "0")),
    ):
        days = f"{FIRST}:{SECOND}" if symbol == "SIMUSDT" else FIRST
        _done("sim", "day", "--symbol", symbol, "--day", days, "--hours", "0.12", "--scenario", *scenario, cwd=folder)
    gaps = ("--hours", "0.5", "--scenario", "gaps", "--seed", "4")
    _done("sim", "day", "--symbol", "GAPUSDT", "--day", FIRST, *gaps, cwd=folder)
    of_first = {"SYMBOL": "SIMUSDT", "DAY": FIRST}
    _done("calibrate", "--out-dir", "fitted", cwd=folder, **of_first)
    (folder / "fit.json").write_bytes((folder / "fitted" / "poisson_fit.json").read_bytes())
    windows = {"WF_TRAIN_WINDOW_MIN": "2", "WF_STEP_MIN": "2"}
    _done("walkforward", "--out-dir", "forward", cwd=folder, **_forward().variables(**windows))
    (folder / "schedule.json").write_bytes((folder / "forward" / "poisson_schedule.json").read_bytes())
    (folder / "latencies.csv").write_text("order_ms,cancel_ms\n10,5\n90,40\n")
    (folder / "parity_models.py").write_text(OWN_MODELS)
    estimate = {"symbol": "SIMUSDT", "day": FIRST, "exponent": 1.7, "low": 1.2, "high": 2.2}
    (folder / "SIMUSDT_queue_exponent.json").write_text(json.dumps(estimate))
    agent_at(folder / "agent.zip")
    written(folder / "predictor", symbol="SIMUSDT", tick="0.01")
    return folder


def _forward() -> Setup:
    """Return the setup of the walk-forward: its rates are drawn, so that it needs no fit of its own."""
    return Setup({"fill_model": "poisson", "sensitivity": 0})


def _done(*words: str, cwd: Path, **variables: str) -> dict[str, Any]:
    """Run a command, which must succeed; return the object that it prints with ``--json``, if it was asked for."""
    done = run_mm(*words, cwd=cwd, LOG_LEVEL="ERROR", **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) if "--json" in words else {}


@pytest.fixture(scope="module", params=SETUPS)
def played(request, desk):
    """Return a setup, played by the command without its sensitivity."""
    setup = SETUPS[request.param]
    folder = desk / "runs" / request.param.replace(" ", "_")
    _done("backtest", "--out-dir", str(folder), cwd=desk, **setup.variables(sensitivity=0))
    return Played(setup, folder, desk)


def test_python_writes_the_files_of_the_command(played, tmp_path, monkeypatch):
    setup = played.setup
    monkeypatch.chdir(played.desk)
    days = [FIRST, SECOND] if not setup.single else [setup.day]
    tapes = [mm.load_day(Path("data") / setup.symbol / day) for day in days]
    given = {"initial_inventory": 50, **setup.knobs, "sensitivity": False}
    if "others" in given:
        lead = mm.load_day(Path("data/LEADUSDT") / setup.day)
        given["others"] = {"lead": {"tape": lead, "orders": LEAD["lead"]["orders"]}}
    if "Micro" in given.get("quote_model", ""):
        from mm.signals.micro_price import fit_micro_price

        given["micro_price"] = fit_micro_price([mm.load_day(Path("data/SIMUSDT") / FIRST)])
    result = mm.backtest(tapes, **given)
    result.write_tables(tmp_path)
    tables = sorted(path.name for path in tmp_path.glob("*.csv"))
    assert len(tables) >= 3
    assert all((tmp_path / name).read_bytes() == (played.folder / name).read_bytes() for name in tables), tables
    assert own_content(json.loads(json.dumps(result.summary))) == own_content(played.summary())


def test_fee_of_a_leg_is_in_the_log_as_in_the_summary(played):
    """The log names the market of each implausible rate."""
    run = json.loads((played.folder / MANIFEST).read_text())
    place = played.desk.joinpath("out/logs/backtest", run["symbol"], run["day"], run["run_id"], "run.log")
    log = place.read_text(encoding="utf-8")
    said = [line for line in played.summary()["warnings"] if "implausible_fee" in line]
    assert len(re.findall("implausible_fee", log)) == len(said) == ("others" in played.setup.knobs)


def test_point_of_a_sweep_has_the_numbers_of_the_command(played, tmp_path):
    variables = played.setup.variables()
    axis = f"SEED={variables.pop('SEED', '0')}"
    variables.pop("QUEUE_EXPONENT_FILE", None)
    words = (
        "--grid",
        axis,
        "--sweep-walkforward",
        "0",
        "--keep-runs",
        "none",
        "--jobs",
        "1",
        "--out-dir",
        str(tmp_path / "run"),
    )
    _done("sweep", *words, cwd=played.desk, **variables)
    (line,) = (tmp_path / "run" / "points.ndjson").read_text().splitlines()
    point, whole = json.loads(line)["summary"], played.summary()
    assert {"pnl_quoting", "n_fills", "fees", "models"} <= point.keys()
    assert _keyed(point.pop("warnings")) == _keyed(whole["warnings"])
    for within in ("inventory", "own_market"):
        found = point.pop(within, {})
        assert found == {name: whole[within][name] for name in found}
    assert point == {name: whole[name] for name in point}


def test_evaluated_day_has_the_numbers_of_the_command(played, tmp_path):
    if not played.setup.single:
        pytest.skip("an evaluation plays each day on its own")
    variables = played.setup.variables()
    variables.pop("QUEUE_EXPONENT_FILE", None)
    _done("evaluate", "--jobs", "1", "--out-dir", str(tmp_path / "run"), cwd=played.desk, **variables)
    with (tmp_path / "run" / "evaluation_days.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    whole = played.summary()
    for name in ("pnl_quoting", "pnl_hold", "fees", "n_fills", "max_drawdown", "two_sided_uptime"):
        assert float(row[name]) == whole[name], name
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert found.get("excluded") == whole.get("excluded")
    said = [line.removeprefix("1 of 1 days: ") for line in found["warnings"] if line.startswith("1 of 1 days: ")]
    assert _keyed(said) == [line for line in _keyed(whole["warnings"]) if not line.startswith("excluded: ")]
    assert _inputs(tmp_path / "run") == played.read()


@pytest.mark.slow
def test_report_plays_the_sensitivity_of_the_command(played, tmp_path):
    """The page of a run without a sensitivity, drawn with it, has the rows of a run with it."""
    whole = tmp_path / "whole"
    _done("backtest", "--out-dir", str(whole), cwd=played.desk, **played.setup.variables())
    words = ("--out", str(tmp_path / "page.html"), "--trust", "parity_models.py", "--json")
    answer = _done("report", str(played.folder), *words, cwd=played.desk)
    assert answer["notes"] == []
    assert _headings(tmp_path / "page.html") == _headings(whole / "report.html")
    rows = _sensitivity(tmp_path / "page.html")
    assert len(rows) > 3
    assert rows == _sensitivity(whole / "report.html")


def _headings(page: Path) -> list[str]:
    """Return the titles of the cards of a page."""
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page.read_text(encoding="utf-8"))


def _sensitivity(page: Path) -> list[list[str]]:
    """Return the cells of the table of a page that shows the sensitivity."""
    _, _, after = page.read_text(encoding="utf-8").partition(">Sensitivity<")
    table = after[: after.index("</table>")]
    rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    return [
        [unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        for row in rows
        if "<td" in row
    ]


@pytest.mark.slow
def test_run_is_reproduced(played):
    words = ("--trust", "parity_models.py", "--json")
    answer = _done("runs", "reproduce", str(played.folder), *words, cwd=played.desk)
    assert answer["equal"] is True


def test_walk_forward_plays_as_a_backtest_of_its_schedule(desk, tmp_path):
    """The fits of its segments are given to the command as a file; tables are equal byte by byte."""
    knobs = {**_forward().knobs, "fill_params_file": "schedule.json"}
    _done("backtest", "--out-dir", str(tmp_path / "run"), cwd=desk, **Setup(knobs).variables())
    names = sorted(path.name for path in (tmp_path / "run").glob("*.csv"))
    assert len(names) >= 3
    nested = desk / "forward" / "backtest"
    assert all((nested / name).read_bytes() == (tmp_path / "run" / name).read_bytes() for name in names)
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in (nested, tmp_path / "run"))
    assert own_content(first) == own_content(second)


def test_judged_agent_has_the_numbers_of_the_command(desk, tmp_path):
    """``mm rl evaluate`` plays the agent as ``mm backtest`` plays ``QUOTE_MODEL=rl``."""
    setup = SETUPS["agent"]
    _done("backtest", "--out-dir", str(tmp_path / "run"), cwd=desk, **setup.variables(sensitivity=0))
    whole = json.loads((tmp_path / "run" / "summary.json").read_text())
    words = ("rl", "evaluate", "--model-path", "agent.zip", "--initial-inventory", "50", "--json")
    answer = _done(*words, cwd=desk, SYMBOL=setup.symbol, DAY=setup.day)
    judged = answer["policies"]["rl"]
    shared = judged.keys() & whole.keys()
    assert {"pnl_quoting", "pnl_total", "fees", "n_fills", "inventory", "adverse_selection"} <= shared
    assert {name: judged[name] for name in shared} == {name: whole[name] for name in shared}


@pytest.mark.parametrize("name", ["defaults", "latencies and limits", "hybrid", "steps", "own fill model", "agent"])
def test_shadow_sends_the_orders_of_the_command(desk, name, tmp_path, monkeypatch):
    """The day comes as events; what a backtest derives from the day comes from the exchange's terms and first book."""
    setup = SETUPS[name]
    monkeypatch.chdir(desk)
    variables = setup.variables(sensitivity=0, feed_latency="none", quote_qty="0.2")
    _done("backtest", "--out-dir", str(tmp_path / "run"), cwd=desk, **variables)
    tape = mm.load_day(Path("data") / setup.symbol / setup.day)
    given = {"initial_inventory": "50", "quote_qty": "0.2", **setup.knobs}
    shadow_of(tape, setup.symbol, setup.day, **given).write_tables(tmp_path)
    for table in ("orders", "fills"):
        file = f"{table}_{setup.symbol}.csv"
        assert (tmp_path / file).read_bytes() == (tmp_path / "run" / file).read_bytes(), table
