"""The contents of a run folder: files, columns, keys, hashes and logs."""

import json
from pathlib import Path

import pytest
from contract_runs import RUNS, run_of
from lab import Done, Lab, Run
from outside import header_of, json_of, rows_of, sha256_of

ORDERS = (
    "recv_ms,order_id,action,status,side,price,qty,remaining_qty,active_recv_ms,expire_recv_ms,cancel_req_ms,"
    "cancel_effective_ms,reject_reason,cancel_reason,recv_us,active_recv_us,cancel_effective_us,expire_recv_us"
)
FILLS = "recv_ms,order_id,side,price,qty,fee,reason,recv_us,mid,inventory_after"
STATE = "recv_ms,inventory,cash,mid,mtm_value,open_orders,recv_us,equity"
POINTS = "delta_ticks,side,exposure_s,fills,lambda_per_s"
FIT = (
    "schema_version symbol day method fit_method A k distance_unit time_unit tick_size logA se_logA se_k cov_logA_k "
    "ci95_A ci95_k ci95_A_block ci95_k_block dispersion n_blocks loglik deviance pearson_chi2 df_resid aic n_fills "
    "exposure_s pivot_delta lambda_at_pivot se_log_lambda_at_pivot curvature_p sides side_lr_p firth log_linear "
    "min_delta_ticks max_delta_ticks window usable status reason mle hit reference warnings"
)
SCHEDULE = "schema_version symbol day tick_size distance_unit train_window_min step_min fallback_policy segments"
SEGMENT = "start_us end_us train_start_us train_end_us A k se_k se_logA n_fills usable status source age_s reason"
#: Keys of segments after the contract's keys (docs/results.md).
FURTHER = "sigma_ticks predictive_low predictive_high min_delta_ticks max_delta_ticks shape lambda_curve adverse_ticks "
FURTHER += "measured_rates mean_bid_per_s mean_ask_per_s half_spread_ticks ci95_A ci95_k "
FURTHER += "A_shrunk k_shrunk ci95_A_shrunk ci95_k_shrunk cov_logA_k"
SUMMARY = (
    "symbol days models pnl_total pnl_spread_capture pnl_inventory fees adverse_selection n_orders n_fills n_partial "
    "fill_ratio quote_to_trade two_sided_uptime inventory sharpe sharpe_ci95 sortino calmar max_drawdown "
    "drawdown_duration_s effective_half_spread realised_half_spread seconds_covered seconds_excluded predicted_fills "
    "observed_fills warnings"
)
MANIFEST = (
    "schema_version kind symbol day run_id status started_at finished_at version commit knobs inputs outputs digest "
    "timings summary"
)
TIMINGS = "import_s load_s play_s write_s total_s tape_cache events rows peak_rss_mb"
KINDS = ("backtest", "marks", "ladder", "fixed", "schedule", "walkforward")
every_kind = pytest.mark.parametrize("kind", KINDS)


def run_of_kind(lab: Lab, kind: str) -> Run:
    if kind == "backtest":
        return run_of(lab, "default")
    if kind in {"schedule", "walkforward"}:
        return lab.over_time(kind, "plain")
    return lab.calibration(kind, "--method", kind)


def inside(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def of_backtest(where: str = "") -> set[str]:
    return {where + name for name in (*of_orders(), "summary.json", "report.html")}


def of_orders(where: str = "") -> set[str]:
    return {f"{where}{name}_SIMUSDT.csv" for name in ("orders", "fills", "state")}


MEASURED = {"calibration_points.csv", "poisson_fit.json", "adverse_selection.csv", "report.html"}
SCHEDULED = {"poisson_schedule.json", "window_metrics.csv", "window_shapes.json", "report.html"}
FILES = {
    "backtest": of_backtest(),
    "marks": MEASURED,
    "ladder": MEASURED | of_orders("runs/ladder/") | {f"runs/ladder_{n}/fills_SIMUSDT.csv" for n in range(1, 8)},
    "fixed": MEASURED.union(*(of_orders(f"runs/delta_{delta}/") for delta in (1, 2, 3, 5, 8, 13))),
    "schedule": SCHEDULED,
    "walkforward": {*SCHEDULED, *of_backtest("backtest/")},
}
PLACES = {
    "backtest": "backtest/SIMUSDT",
    "marks": "calibration/marks/SIMUSDT",
    "ladder": "calibration/ladder/SIMUSDT",
    "fixed": "calibration/fixed/SIMUSDT",
    "schedule": "calibration/schedules/SIMUSDT",
    "walkforward": "walkforward/SIMUSDT",
}
LOGS = {
    "backtest": "backtest/SIMUSDT",
    "marks": "calibration/marks/SIMUSDT",
    "ladder": "calibration/ladder/SIMUSDT",
    "fixed": "calibration/fixed/SIMUSDT",
    "schedule": "schedule/SIMUSDT",
    "walkforward": "walkforward/SIMUSDT",
}


@every_kind
def test_run_folder_has_contract_path_and_files(lab: Lab, kind: str) -> None:
    """Scripts find a run by symbol, day and id; there are no unknown files."""
    run = run_of_kind(lab, kind)
    run_id = run.manifest["run_id"]
    assert run.folder == run.done.cwd / "out" / PLACES[kind] / f"20260105_{run_id}"
    assert inside(run.folder) == FILES[kind] | {"run_manifest.json"}
    assert not list(run.done.cwd.rglob("*.partial"))


@every_kind
def test_columns_and_keys_match_contract(lab: Lab, kind: str) -> None:
    """A moved column breaks scripts that read by position; a missing key breaks dashboards."""
    run = run_of_kind(lab, kind)
    for pattern, header in (
        ("orders_*.csv", ORDERS),
        ("fills_*.csv", FILLS),
        ("state_*.csv", STATE),
        ("calibration_points.csv", POINTS),
    ):
        assert all(header_of(path) == header for path in run.folder.rglob(pattern))
    for pattern, keys in (("poisson_fit.json", FIT), ("poisson_schedule.json", SCHEDULE), ("summary.json", SUMMARY)):
        for path in run.folder.rglob(pattern):
            assert [key for key in keys.split() if key not in json_of(path)] == []
    for path in run.folder.rglob("poisson_schedule.json"):
        for segment in json_of(path)["segments"]:
            assert list(segment) == [*SEGMENT.split(), *FURTHER.split()]


@every_kind
def test_manifest_matches_every_file(lab: Lab, kind: str) -> None:
    """Hashes, sizes and rows match; every file but the manifest is listed, inputs relative to DATA_ROOT."""
    run, root = run_of_kind(lab, kind), lab.sim("plain")
    manifest = run.manifest
    assert [key for key in MANIFEST.split() if key not in manifest] == []
    assert manifest["status"] == "ok"
    assert {entry["path"] for entry in manifest["outputs"]} == FILES[kind]
    for entry in manifest["outputs"]:
        path = run.folder / entry["path"]
        assert entry["sha256"] == sha256_of(path)
        assert entry["rows"] == (len(rows_of(path)) if path.suffix == ".csv" else None), entry
    assert len(manifest["inputs"]) >= 4
    for entry in manifest["inputs"]:
        path = root / entry["path"]
        assert (entry["bytes"], entry["sha256"]) == (path.stat().st_size, sha256_of(path))
    assert [key for key in TIMINGS.split() if key not in manifest["timings"]] == []
    assert manifest["timings"]["tape_cache"] in {"hit", "miss", "off"}


@every_kind
def test_last_stdout_line_is_main_artefact_with_its_path(lab: Lab, kind: str) -> None:
    """Contract §1 and §7c: scripts read one JSON object, its file by the path, and what the environment has set."""
    run = run_of_kind(lab, kind)
    printed = run.done.last
    assert printed.pop("settings_from")["SYMBOL"] == "environment"
    assert printed == {**json.loads(run.artefact.read_text()), "path": printed["path"]}
    assert run.artefact.name in {"summary.json", "poisson_fit.json", "poisson_schedule.json"}


@every_kind
def test_manifest_records_source_of_each_setting(lab: Lab, kind: str) -> None:
    """The manifest records flag, environment or default for each setting, so that a run can be repeated."""
    knobs = run_of_kind(lab, kind).manifest["knobs"]
    lower = {name.lower(): knob for name, knob in knobs.items()}
    assert lower["symbol"] == {"value": "SIMUSDT", "source": "environment"} or lower["symbol"]["source"] == "env"
    assert lower["seed"] == {"value": 0, "source": "default"}
    assert all(set(knob) == {"value", "source"} for knob in knobs.values())


@every_kind
def test_log_lines_are_json_with_run_and_symbol(lab: Lab, kind: str) -> None:
    """Contract §9: LOG_LEVEL=ERROR silences the terminal, but the file still contains the steps of the run."""
    run = run_of_kind(lab, kind)
    log = run.done.cwd / "out/logs" / LOGS[kind] / "20260105" / run.manifest["run_id"] / "run.log"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"run_started", "run_finished"} <= {line["event"] for line in lines}
    assert {(line["run_id"], line["symbol"]) for line in lines} == {(run.manifest["run_id"], "SIMUSDT")}
    assert run.done.err == ""


@pytest.mark.slow
def test_stderr_follows_log_level_and_run_log_starts_at_info(lab: Lab) -> None:
    """Results go to stdout, logs to stderr; LOG_ROOT moves the log; each line has ts, level, event, run and symbol."""
    lives = run_of(lab, "lives")
    for level in ("INFO", "DEBUG", "WARNING"):
        done = lab.command(
            f"logs/{level}",
            "backtest",
            LOG_LEVEL=level,
            LOG_ROOT="elsewhere",
            RUN_ID="r1",
            **variables_of(lab, "lives"),
        )
        assert done.code == 0
        assert not (done.cwd / "out/logs").exists()
        lines = (done.cwd / "elsewhere/backtest/SIMUSDT/20260105/r1/run.log").read_text().splitlines()
        logged = [json.loads(line) for line in lines]
        assert all(list(line)[:3] == ["ts", "level", "event"] for line in logged)
        assert all((line["run_id"], line["symbol"]) == ("r1", "SIMUSDT") for line in logged)
        shown = [line for line in logged if level != "WARNING" or line["level"] not in ("debug", "info")]
        assert "info" in {line["level"] for line in logged}
        assert len(done.err.splitlines()) == len(shown)
        assert "info" not in done.out
    assert lives.done.err == ""


def variables_of(lab: Lab, name: str) -> dict[str, str]:
    return {"SYMBOL": "SIMUSDT", "DAY": "20260105", "DATA_ROOT": str(lab.sim("plain")), **RUNS[name]}


def test_report_is_self_contained_page(lab: Lab) -> None:
    """Contract §4: report.html is one page that opens without a network."""
    page = run_of(lab, "parts").file("report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    for needs in ('src="', "src='", "url(", "@import", "<link"):
        assert needs not in page


def stdout_lines(done: Done) -> list[str]:
    return done.out.splitlines()


@pytest.mark.slow
def test_command_and_module_entry_points_have_same_help(lab: Lab) -> None:
    """Both entry points of contract §1 run the same function: their help differs only in the name."""
    entry_points = (
        ("backtest", "mm.runner_backtest"),
        ("calibrate", "mm.runner_calibration"),
        ("calibrate", "mm.calibration.runner_calibration"),
        ("schedule", "mm.runner_calibrate_schedule"),
        ("walkforward", "mm.runner_walkforward"),
        ("fit", "mm.calibration.poisson_fit"),
        ("data import", "mm.market_data.import_capture"),
        ("data check", "mm.market_data.check"),
        ("sim", "mm.sim"),
    )
    for number, (command, module) in enumerate(entry_points):
        front = lab.command(f"doors/{number}-front", *command.split(), "--help")
        back = lab.command(f"doors/{number}-back", "--help", module=module)
        assert (front.code, back.code) == (0, 0), module
        assert stdout_lines(front)[1:] == stdout_lines(back)[1:], module
