"""Seed faults in product lines, one at a time, and show that the tests notice each.

    python tools/seeded_faults.py               all faults, each in a copy of the checkout
    python tools/seeded_faults.py queue 42      those of that number, or whose file or change contains one of the words
    python tools/seeded_faults.py --list        print them

A fault replaces one text, which must occur exactly once in its file, by another. The tests named with it are run
without those marked slow, as in ``make test``: the first, which noticed it before, and the others if that one passes.
The word ``slow`` after them marks a fault that only ``make test-all`` is sure to notice. Exit code 1 if one was missed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = {".git", ".venv", "build", "dist", "out", "data", ".hypothesis", ".mypy_cache", ".pytest_cache"}


class Fault(NamedTuple):
    """A change of one product file, and the tests that must fail with it."""

    path: str
    before: str
    after: str
    tests: str


ENGINE = " ".join(
    ["tests/backtest", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/test_oracle*.py"))]
)
FAULTS = [
    # engine, fills and quotes
    Fault(
        "mm/backtest/fills/base.pyx",
        "order.level_lots - order.printed_lots",
        "order.level_lots",
        "tests/backtest/test_glft_grid.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/fills/base.pyx",
        "trade.side == order.side or beyond < 0",
        "beyond < 0",
        "tests/backtest/test_queue.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/fills/base.pyx",
        "min(ahead, <double> after_lots)",
        "ahead",
        "tests/backtest/test_queue.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/_account.pxd",
        "account.cash_tl -= side",
        "account.cash_tl += side",
        "tests/backtest/metrics/test_summary.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/_account.pxd",
        "account.taker_fee_e8 if took",
        "account.maker_fee_e8 if took",
        "tests/backtest/test_orders.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/_order_manager.pyx",
        "lots -= lots % self.venue.step_lots",
        "pass",
        "tests/test_oracle_orders.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/_order_manager.pyx",
        "us - order.sent_us >= self.refresh_us",
        "False",
        "tests/test_oracle_grids.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/quotes/distances.pyx",
        "bid[0] = q * risk + 0.5 * risk",
        "bid[0] = -q * risk + 0.5 * risk",
        "tests/backtest/test_distances.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/quotes/distances.pyx",
        "edge - log(1.0 - (1.0 - 2.0 * q) / room)",
        "edge - log(1.0 - (1.0 + 2.0 * q) / room)",
        "tests/backtest/test_avellaneda_stoikov.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/_engine.pyx",
        "book_clear(book)\n                self.local.valid = market.kind[event] != GAP",
        "self.local.valid = market.kind[event] != GAP",
        "tests/backtest/test_engine.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/latency.py",
        "np.rint(us * factor)",
        "np.floor(us * factor)",
        "tests/backtest/test_latency.py " + ENGINE,
    ),
    # results
    Fault("mm/backtest/metrics/pnl.py", "valid[row] &", "", "tests/backtest/metrics/test_pnl.py tests/backtest"),
    Fault(
        "mm/backtest/metrics/ranking.py",
        "* sums.std(axis=0, ddof=1)",
        "* sums.std(axis=0)",
        "tests/sweep/test_findings.py tests/backtest tests/sweep",
    ),
    Fault(
        "mm/backtest/metrics/risk.py",
        "if len(changes) < LEAST_PERIODS:\n        return {",
        "if False:\n        return {",
        "tests/backtest/metrics/test_risk.py tests/backtest",
    ),
    Fault(
        "mm/backtest/metrics/overfitting.py",
        "(1 - EULER_GAMMA) * NORMAL.inv_cdf(1 - 1 / trials)",
        "NORMAL.inv_cdf(1 - 1 / trials)",
        "tests/backtest/metrics/test_overfitting.py tests/backtest",
    ),
    # identities, book and tape
    Fault(
        "mm/ids.py", "if first_new > last_id + 1:", "if first_new > last_id + 2:", "tests/test_ids.py tests/market_data"
    ),
    Fault("mm/ids.py", "back >= RESET_IDS or", "", "tests/test_ids.py tests/market_data"),
    Fault(
        "mm/market_data/sync_engine.py",
        "if self.changes(last_id, last_update_id))",
        ")",
        "tests/market_data/test_sync_engine.py tests/market_data tests/tape",
    ),
    Fault(
        "mm/market_data/market_state.py",
        "if first_id < message.U <= last_id:",
        "if False:",
        "tests/market_data/test_faults_on_the_wire.py tests/market_data",
    ),
    Fault(
        "mm/tape/sync.py", "kept[first] = True", "kept[first[::-1][:1]] = True", "tests/tape/test_sync.py tests/tape"
    ),
    Fault(
        "mm/tape/sync.py",
        'kind = "hole" if row.kind == "gap" else',
        "kind =",
        "tests/tape/test_known_at.py tests/tape tests/market_data",
    ),
    Fault(
        "mm/tape/excluded.py",
        'us = np.clip(rest["event_exch_us"], earliest, latest)',
        "us = latest",
        "tests/market_data/test_outage.py tests/tape tests/market_data",
    ),
    # calibration and walk-forward
    Fault(
        "mm/calibration/hawkes.py",
        "np.array([2, 2, 1, 0])[kind]",
        "np.array([0, 0, 1, 2])[kind]",
        "tests/calibration/test_hawkes.py tests/calibration",
    ),
    Fault(
        "mm/calibration/fit_points.py",
        "if n_fills < FEW_FILLS:",
        "if n_fills < 0:",
        "tests/calibration/test_fit_points.py tests/calibration",
    ),
    Fault(
        "mm/calibration/fit_points.py",
        "isinstance(chosen, Estimate) and chosen.k <= 0",
        "False",
        "tests/calibration/test_fit_points.py tests/calibration",
    ),
    Fault(
        "mm/calibration/alternatives.py",
        "count / (count - 1)",
        "1",
        "tests/calibration/test_alternatives.py tests/calibration tests/walkforward",
    ),
    Fault(
        "mm/walkforward/walkforward.py",
        "plan = plan or WindowPlan(latency_us=rules.order_latency_us)",
        "plan = plan or WindowPlan()",
        "tests/walkforward/test_walkforward.py tests/walkforward",
    ),
    # recorder and day folder
    Fault(
        "mm/dayfolder/recovery.py",
        "next_seq=1 + max(",
        "next_seq=max(",
        "tests/dayfolder/test_recovery.py tests/dayfolder tests/market_data",
    ),
    Fault(
        "mm/dayfolder/recovery.py",
        "open_runs=tuple(run for run in view.runs if run not in ended)",
        "open_runs=()",
        "tests/dayfolder/test_recovery.py tests/dayfolder tests/market_data",
    ),
    # exchange in a box
    Fault(
        "mm/sim/exchange/rules.py",
        "lots > self.most_market_lots",
        "lots > self.most_lots",
        "tests/sim/exchange/test_exchange_rules.py tests/sim",
    ),
    Fault(
        "mm/sim/exchange/rules.py",
        "notional_e8 < self.instrument.min_notional_e8 or",
        "",
        "tests/sim/exchange/test_exchange_rules.py tests/sim",
    ),
    # live
    Fault(
        "mm/live/orders/states.py",
        "order.state, order.doubt = OrderState.UNKNOWN, Doubt.PLACE\n        self.add(order)",
        "self.add(order)",
        "tests/live/test_gateway_faults.py tests/live",
    ),
    Fault(
        "mm/live/venues/request_limits.py",
        "self._counted_s < self.window_s else 0",
        "self._counted_s < 0 else 0",
        "tests/live/test_order_limits.py tests/live",
    ),
    Fault("mm/live/venues/request_limits.py", "* 2**self._refusals", "", "tests/live/test_order_limits.py tests/live"),
    Fault("mm/live/run/kill_switch.py", "self.path.touch()", "pass", "tests/live/test_kill_switch.py tests/live"),
    Fault("mm/base/audit_chain.py", "    hashed.update(prev)\n", "", "tests/test_audit_chain.py tests/live"),
    Fault(
        "mm/live/audit/history.py",
        "        _verify(path, written)\n",
        "        pass\n",
        "tests/live/test_audit_at_start.py",
    ),
    Fault("mm/live/account/check.py", "else held - due", "else 0", "tests/live/test_account_check.py"),
    Fault("mm/live/run/replay_check.py", ", as_received=True", "", "tests/live/test_reconcile.py"),
    Fault("mm/live/pages/watchdog.py", "if trading or not", "if not", "tests/live/test_watchdog.py"),
    Fault("mm/live/venues/latency.py", "us - offset_us for us", "us for us", "tests/live/test_venue_latency.py"),
    # evaluation, signals, sweeps, predictors, agents
    Fault(
        "mm/probes/queue_exponent.py",
        "slice(begin + 1, end)",
        "slice(begin + 2, end)",
        "tests/probes/test_queue_exponent.py tests/probes",
    ),
    Fault(
        "mm/signals/micro_price.py",
        "[before, mirror[before]]",
        "[before, before]",
        "tests/signals/test_micro_price.py tests/signals",
    ),
    Fault(
        "mm/predict/walk.py",
        "samples.until_us + task.horizon_us <= begins",
        "samples.until_us <= begins",
        "tests/predict/test_walk.py tests/predict",
    ),
    Fault(
        "mm/sweep/findings.py",
        "    def deflated(self, summary: Mapping[str, Any]) -> float | None:",
        "    def deflated(self, summary: Mapping[str, Any]) -> float | None:\n        return 1.0",
        "tests/sweep/test_findings.py tests/sweep",
    ),
    Fault(
        "mm/rl/evaluation.py",
        "deflated is None or deflated < ENOUGH",
        "deflated is None",
        "tests/rl/test_evaluation.py tests/rl",
    ),
]


def mutated(fault: Fault) -> str:
    """Return the file with the fault; raises SystemExit unless its text occurs exactly once."""
    text = (ROOT / fault.path).read_text(encoding="utf-8")
    if text.count(fault.before) != 1:
        sys.exit(
            f"{fault.path}: {fault.before!r} occurs {text.count(fault.before)} times; give a text that occurs once"
        )
    return text.replace(fault.before, fault.after)


def restore(copy: Path) -> None:
    """Make *copy* equal to the checkout again: sources, kernels, and their C, which a fault or its build changed."""
    shutil.rmtree(copy / "build", ignore_errors=True)  # its kernels are newer than those of the checkout
    for room in ("mm", "benchmarks"):
        for path in (ROOT / room).rglob("*.*"):
            same = copy / path.relative_to(ROOT)
            if path.is_file() and path.suffix != ".pyc" and same.stat().st_mtime_ns != path.stat().st_mtime_ns:
                shutil.copy2(path, same)


def noticed_by(fault: Fault, copy: Path) -> str:
    """Return the first test in *copy* that fails with *fault*; empty if none does."""
    tests = fault.tests.split()
    slow = ["--slow", "all" if tests[-1] == "slow" else "none"]
    named = [test for test in tests if test != "slow"]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    (copy / fault.path).write_text(mutated(fault), encoding="utf-8")
    if fault.path.endswith((".pyx", ".pxd")):
        build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
        subprocess.run(build, cwd=copy, env=environment, check=True, capture_output=True)
    for stage in (named[:1], named[1:]):
        if not stage:
            continue
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *slow, *stage]
        done = subprocess.run(command, cwd=copy, env=environment, text=True, capture_output=True, check=False)
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        if done.returncode > 1 or any(line.startswith("ERROR") for line in failed):  # no test ran, as it must
            sys.exit(f"{fault.path}: {' '.join(command)}: {(done.stdout + done.stderr).strip()[-400:]}")
        if failed:
            return failed[0].split(" - ")[0].removeprefix("FAILED ")
    return ""


def chosen(words: list[str]) -> Iterator[tuple[int, Fault]]:
    """Yield the faults of *words* and numbers, all without any, with their numbers."""
    for number, fault in enumerate(FAULTS, 1):
        texts = fault.path + fault.before + fault.after
        if not words or any(word == str(number) or (word in texts and not word.isdigit()) for word in words):
            yield number, fault


def main() -> int:
    """Seed the faults and print what noticed each; exit code 1 if one was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only faults with one of these words or numbers")
    parser.add_argument("--list", action="store_true", help="print the faults, and run nothing")
    given = parser.parse_args()
    faults = list(chosen(given.words))
    for number, fault in faults:
        mutated(fault)
        if given.list:
            print(f"{number:2} {fault.path}: {fault.before.strip()!r} -> {fault.after.strip()!r}: {fault.tests}")
    if given.list:
        return 0
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "checkout")
        shutil.copytree(ROOT, copy, ignore=lambda place, _: LEFT_OUT if Path(place) == ROOT else ())
        for number, fault in faults:
            by = noticed_by(fault, copy)
            restore(copy)
            missed += not by
            print(f"{number:2} {fault.path:42} {by or 'MISSED: ' + repr(fault.before)}", flush=True)
    print(f"{len(faults) - missed} of {len(faults)} faults noticed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
