"""Sweeps of several symbols on one account: a point is one backtest of the account, and one series."""

import csv
import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_sweep_engines import PATIENCE_S, Desk, scheduler, worker

import mm
from mm.__main__ import main
from mm.backtest.account_limits import AccountLimits
from mm.cli.symbol_runs import account_knobs
from mm.errors import UsageError
from mm.play.knobs import Day, PerSymbol
from mm.play.setup import GROUPS_BY_NAME, AccountSetup, Setup
from mm.sweep.grid import axes_for, points_of
from mm.sweep.sweep import as_csv
from mm.trials.own_content import own_content
from simulation import simulate_day

SYMBOLS, ACCOUNT = "AAAUSDT,BBBUSDT", "AAAUSDT+BBBUSDT"
DAYS = "20260105,20260106"
OWN = {"AAAUSDT": {"QUOTE_QTY": "0.05"}}
TERMS = {"initial_cash": "12.5", "maker_fee_rate": "0"}
GRID = {"DELTA_TICKS": [1, 2], "BBBUSDT.QUOTE_QTY": ["0.05", "0.2"], "ACCOUNT_MAX_NOTIONAL": ["6", "60"]}
WORDS = (
    *("--symbol", SYMBOLS, "--one-account", "1", "--quote-model", "fixed_spread", "--jobs", "1"),
    *(word for name, value in TERMS.items() for word in (f"--{name.replace('_', '-')}", value)),
)
BY = ("--rank-by", "pnl_quoting")  # these days are too short for a bound
AXES = tuple(word for name, values in GRID.items() for word in ("--grid", f"{name}={','.join(map(str, values))}"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return the days of two symbols; the second lacks the second day."""
    root = tmp_path_factory.mktemp("account") / "data"
    for seed, symbol in enumerate(SYMBOLS.split(",")):
        simulate_day(root, hours=0.1, seed=seed, symbol=symbol)
    simulate_day(root, hours=0.05, seed=9, symbol="AAAUSDT", day="20260106")
    return root


@pytest.fixture
def call(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def called(*words, code=0):
        done = CliRunner().invoke(main, list(words), env={"DATA_ROOT": str(data), "LOG_LEVEL": "ERROR"})
        assert done.exit_code == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return called


def content_of(kind: str, run_id: str, name: str) -> dict:
    [folder] = Path("out", kind, ACCOUNT).glob(f"*_{run_id}")
    return json.loads((folder / name).read_text())


def test_each_point_is_the_backtest_of_its_command(call):
    """The account is one series, and a point that is played again, alone or day by day, is no new trial."""
    call("sweep", *WORDS, "--day", DAYS, "--per-symbol", json.dumps(OWN), *AXES, *BY, "--run-id", "GRID")
    found = content_of("sweep", "GRID", "sweep.json")
    assert found["trials"]["on_these_days"] == found["n_trials"] == len(found["rows"]) == 8
    assert len({row["pnl_quoting"] for row in found["rows"]}) > 4
    for row in (found["best"], found["rows"][-1]):
        call(*shlex.split(row["command"])[1:], "--run-id", f"P{row['point']}")
        alone = content_of("backtest", f"P{row['point']}", "summary.json")
        names = ("pnl_quoting", "fees", "n_orders", "n_fills", "sharpe", "max_drawdown", "psr_alone", "sortino")
        assert [row[name] for name in names] == [alone[name] for name in names]
        for symbol, one in alone["symbols"].items():
            assert row[f"pnl_quoting_{symbol}"] == one["pnl_quoting"]
        assert alone["absent"] == {"BBBUSDT": ["20260106"]}
        assert alone["trials"]["on_these_days"] == 8
        assert not alone["trials"]["this_is_new"]
    words = shlex.split(found["best"]["command"])[2:]
    call("evaluate", *words, "--jobs", "1", "--run-id", "DAYS")
    days = content_of("evaluation", "DAYS", "evaluation.json")
    assert days["trials"]["on_these_days"] == 8
    assert [one["day"] for one in days["accounts"]] == DAYS.split(",")
    both = [row["command"] for row in days["rows"] if row["day"] == "20260105"]
    assert len(set(both)) == 1
    assert "--one-account" in both[0]


def test_series_of_a_point_is_the_sum_of_its_symbols(call):
    call("sweep", *WORDS, "--day", "20260105", *AXES, "--run-id", "SUM")
    [folder] = Path("out", "sweep", ACCOUNT).glob("*_SUM")
    rows = [*csv.DictReader((folder / "pnl_60s.csv").read_text().splitlines())]
    for row in json.loads((folder / "sweep.json").read_text())["rows"]:
        symbols = [row[f"pnl_quoting_{symbol}"] for symbol in SYMBOLS.split(",")]
        assert row["pnl_quoting"] == pytest.approx(sum(symbols), abs=1e-12)
        whole = sum(float(minute[f"point_{row['point']}"]) for minute in rows)
        assert abs(whole) <= abs(row["pnl_quoting"]) + 1e-9  # the last part of a minute is in no period
    page = (folder / "report.html").read_text()
    table = page.partition("Points")[2].partition("</table>")[0]
    assert all(f"{symbol}, USDT" in table for symbol in SYMBOLS.split(","))
    assert "byte-identical" in call("runs", "reproduce", "SUM")


def test_python_sweeps_an_account_as_the_command(call, data):
    call("sweep", *WORDS, "--day", DAYS, *AXES, "--per-symbol", json.dumps(OWN), "--run-id", "CMD")
    [folder] = Path("out", "sweep", ACCOUNT).glob("*_CMD")
    places = {"data_root": data, "out_root": "other", "jobs": 1}
    found = mm.sweep(
        SYMBOLS, DAYS, GRID, one_account=True, per_symbol=OWN, quote_model="fixed_spread", **TERMS, **places
    )
    rows = own_content([*csv.DictReader((folder / "sweep.csv").read_text().splitlines())])
    assert own_content([*csv.DictReader(as_csv(found.rows).splitlines())]) == rows


def test_search_chooses_designs_of_an_account(call):
    said = call("sweep", *WORDS, "--day", DAYS, *AXES, "--search", "4", *BY, "--run-id", "SEEK")
    found = content_of("sweep", "SEEK", "sweep.json")
    assert found["search"]["designs"] == 4
    assert "search: 4 designs" in said
    assert found["best"]["command"].startswith("mm backtest --one-account 1")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--grid", "BBBUSDT.INITIAL_CASH=9"), "one account has one INITIAL_CASH"),
        (("--grid", "CCCUSDT.QUOTE_QTY=9"), "CCCUSDT.QUOTE_QTY is neither"),
        (("--grid", "BBBUSDT.QUOTE_QTY=9", "--grid", "QUOTE_QTY=1"), "given twice"),
        (("--grid", "DELTA_TICKS=1", "--sweep-walkforward", "1"), "mm walkforward --one-account 1"),
        (("--grid", "ACCOUNT_MAX_NOTIONAL=-1"), "between 0 and"),
    ],
)
def test_axis_that_no_account_has_is_refused_by_name(call, words, why):
    assert why in call("sweep", *WORDS, "--day", "20260105", *words, code=2)


def test_one_symbol_alone_is_no_account(call):
    words = ("sweep", "--symbol", "AAAUSDT", "--day", "20260105", "--grid", "QUOTE_QTY=1")
    assert "give a list" in call(*words, "--one-account", "1", code=2)
    assert "ONE_ACCOUNT is not set" in call(*words[:-1], "ACCOUNT_MAX_NOTIONAL=1", code=2)


def account(per_symbol: str = "{}", **limits: str) -> AccountSetup:
    day, groups = Day(symbol=SYMBOLS, day="20260105"), [kind for kind in GROUPS_BY_NAME.values() if kind is not Day]
    by_symbol = account_knobs(SYMBOLS, [day, *(kind() for kind in groups), PerSymbol(per_symbol=per_symbol)])
    setups = {symbol: Setup.of(*own.values()) for symbol, own in by_symbol.items()}
    return AccountSetup(day=day, setups=setups, limits=AccountLimits(**limits))


def test_an_axis_sets_all_symbols_or_one_or_a_limit():
    base = account('{"BBBUSDT": {"QUOTE_MODEL": "fixed_spread"}}')
    axes = axes_for("SEED=1,2;AAAUSDT.gamma=0.1,0.2;bbbusdt.Delta_Ticks=3;ACCOUNT_MAX_OPEN_ORDERS=2,4", base)
    assert [axis.name for axis in axes] == ["SEED", "AAAUSDT.GAMMA", "BBBUSDT.DELTA_TICKS", "ACCOUNT_MAX_OPEN_ORDERS"]
    assert [axis.assumed for axis in axes] == [True, False, False, False]
    points = points_of(axes, base, "refuse")
    assert len(points) == 8
    last = points[-1].setup
    assert {one.account.seed for one in last.setups.values()} == {2}
    assert last.setups["AAAUSDT"].models.quote_params() == {"gamma": 0.2}
    assert last.setups["BBBUSDT"].models.quote_params() == {"delta_ticks": 3}
    assert last.limits.account_max_open_orders == 4
    assert axes_for("BBBUSDT.FILL_MODEL=trade_cross,price_cross", base)[0].fills


def test_parameter_that_one_symbols_model_lacks_is_left_out_there():
    base = account('{"BBBUSDT": {"QUOTE_MODEL": "fixed_spread"}}')
    with pytest.raises(UsageError, match="GAMMA is neither"):
        axes_for("GAMMA=0.1", base)
    axes = axes_for("AAAUSDT.QUOTE_MODEL=fixed_spread,glft;AAAUSDT.GAMMA=0.1", base)
    with pytest.raises(UsageError, match="takes no gamma"):
        points_of(axes, base, "refuse")
    assert [point.texts["AAAUSDT.GAMMA"] for point in points_of(axes, base, "leave_out")] == ["", "0.1"]


def test_command_of_an_account_says_what_differs_by_symbol():
    """The knobs read back from it are those of the point."""
    base = account('{"AAAUSDT": {"MAX_POSITION": "2", "QUOTE_LEVELS": "3"}, "BBBUSDT": {"FEED_LATENCY": "recorded"}}')
    base = replace(base, setups={name: replace_levels(one) for name, one in base.setups.items()})
    words = base.command((), places=False)
    own = json.loads(words[words.index("--per-symbol") + 1])
    assert own == {
        "AAAUSDT": {"MAX_POSITION": "2", "QUOTE_LEVELS": "3", "LEVEL_STEP_TICKS": "2"},
        "BBBUSDT": {"FEED_LATENCY": "recorded"},
    }
    assert words[:6] == ["mm", "backtest", "--one-account", "1", "--symbol", SYMBOLS]
    assert "--account-max-notional" not in words
    assert "--account-max-notional" in account(account_max_notional="9").command((), places=False)


def replace_levels(setup: Setup) -> Setup:
    return replace(setup, models=replace(setup.models, level_step_ticks=2))


@pytest.mark.slow
def test_workers_of_a_cluster_play_the_points_of_an_account(tmp_path):
    pytest.importorskip("distributed", reason="needs the extra [cluster]")
    for seed, symbol in enumerate(SYMBOLS.split(",")):
        simulate_day(tmp_path / "data", hours=0.1, seed=seed, symbol=symbol)
    desk, both = Desk(tmp_path / "data", tmp_path, 3), {"SYMBOL": SYMBOLS, "ONE_ACCOUNT": "1"}
    with scheduler(tmp_path) as (address, _), worker(address, tmp_path / "one", 0):
        store = f"file://{tmp_path}/objects"
        runs = [
            desk.sweep("serial", JOBS="1", **both),
            desk.sweep("cluster", CLUSTER=address, OBJECT_STORE=store, **both),
        ]
        ends = [run.communicate(timeout=PATIENCE_S) for run in runs]
    assert [stderr for _, stderr in ends] == ["", ""]
    tables = [(tmp_path / "home" / Path(out.splitlines()[-1]).parent / "points.ndjson").read_text() for out, _ in ends]
    assert tables[0] == tables[1]
