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
        "min(order.lots, order.offered_lots) if other",
        "order.lots if other",
        "tests/backtest/test_queue.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/fills/base.pyx",
        "min(ahead, self.steps(after_lots))",
        "ahead",
        "tests/backtest/test_queue.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/engine/_account.pxd",
        "account.cash_tl -= side",
        "account.cash_tl += side",
        "tests/backtest/metrics/test_summary.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/engine/_account.pxd",
        "account.taker_fee_e8 if took",
        "account.maker_fee_e8 if took",
        "tests/backtest/test_orders.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/engine/_order_manager.pyx",
        "lots -= lots % self.venue.step_lots\n        if lots <= 0",
        "if lots <= 0",
        "tests/test_oracle_orders.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/engine/_order_manager.pyx",
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
        "mm/backtest/engine/_engine.pyx",
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
    Fault(
        "mm/backtest/metrics/pnl.py",
        "valid, marks2 = mid2 > 0,",
        "valid, marks2 = mid2 >= 0,",
        "tests/backtest/metrics/test_pnl.py tests/backtest",
    ),
    Fault(
        "mm/base/estimate.py",
        "(away**2).sum(axis=0) * draws / (draws - 1)",
        "(away**2).sum(axis=0)",
        "tests/sweep/test_findings.py tests/backtest tests/sweep",
    ),
    Fault(
        "mm/backtest/metrics/verdict.py",
        "if sample.periods < sample.least:",
        "if sample.periods < 2:",
        "tests/backtest/metrics/test_verdict.py tests/backtest",
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
        "mm/markets/sequence.py",
        "if self.changes(last_id, last_update_id))",
        ")",
        "tests/market_data/test_sync_engine.py tests/market_data tests/tape",
    ),
    Fault(
        "mm/market_data/market_state.py",
        "if last_id > message.U if in_stream else first_id < message.U <= last_id:",
        "if in_stream and last_id > message.U:",
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
        "mm/play/forward.py",
        "self.plan or WindowPlan(latency_us=rules.order_latency_us)",
        "self.plan or WindowPlan()",
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
        "mm/sim/exchange/exchange.py",
        "order.request.ticks, ahead + lots, IOC",
        "order.request.ticks, lots, IOC",
        "tests/sim/exchange/test_edges_of_orders.py tests/sim",
    ),
    Fault(
        "mm/sim/exchange/exchange.py",
        "if isinstance(placed, ApiError) and not exceeded and isinstance",
        "if isinstance(placed, ApiError) and isinstance",
        "tests/sim/exchange/test_edges_of_orders.py tests/sim",
    ),
    Fault(
        "mm/sim/exchange/exchange.py",
        "left_lots = lots - order.filled_lots - order.prevented_lots\n        if lots == order.lots:",
        "left_lots = lots - order.filled_lots\n        if lots == order.lots:",
        "tests/sim/exchange/test_edges_of_orders.py tests/sim",
    ),
    Fault(
        "mm/sim/exchange/exchange.py",
        "lots -= lots % rules.step_lots",
        "pass",
        "tests/sim/exchange/test_edges_of_orders.py tests/sim",
    ),
    Fault(
        "mm/sim/exchange/rules.py",
        "return self.most_lots // 2 or 1",
        "return self.most_lots // 2",
        "tests/sim/exchange/test_edges_of_orders.py tests/sim",
    ),
    Fault(
        "mm/sim/exchange/rules.py",
        "(not market and notional_e8 > self.most_notional_e8)",
        "notional_e8 > self.most_notional_e8",
        "tests/sim/exchange/test_edges_of_orders.py tests/sim",
    ),
    Fault(
        "mm/sim/exchange/settlement.py",
        "elif order.request.ticks:",
        "elif False:",
        "tests/sim/exchange/test_edges_of_orders.py tests/sim",
    ),
    Fault(
        "mm/sim/exchange/usdm/exchange.py",
        "if any(one.isolated and one.lots and leverage < one.leverage for one in held):",
        "if any(one.isolated and leverage < one.leverage for one in held):",
        "tests/sim/exchange/test_edges_of_orders.py tests/sim",
    ),
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
    Fault("mm/live/account/kill_switch.py", "self.path.touch()", "pass", "tests/live/test_kill_switch.py tests/live"),
    Fault(
        "mm/base/audit_chain.py",
        "hashlib.sha256(prev + line)",
        "hashlib.sha256(line)",
        "tests/test_audit_chain.py tests/live",
    ),
    Fault(
        "mm/live/audit/history.py",
        "        _verify(path, written)\n",
        "        pass\n",
        "tests/live/test_audit_at_start.py",
    ),
    Fault("mm/live/account/account_check.py", "else held - due", "else 0", "tests/live/test_account_check.py"),
    Fault("mm/live/run/live_terms.py", 'feed_latency="none"', "", "tests/live/test_reconcile.py"),
    Fault("mm/live/pages/watchdog.py", "if trading or not", "if not", "tests/live/test_watchdog.py"),
    # kills that are heard, and the switch of a second machine
    Fault(
        "mm/live/pages/kill_end.py", 'tuple(map(str, rows[-1]["open"]))', "()", "tests/commands/test_commands_risk.py"
    ),
    Fault(
        "mm/live/pages/dead_man.py", "min(self.silent_s, self.still_s)", "self.silent_s", "tests/live/test_dead_man.py"
    ),
    Fault(
        "mm/live/pages/dead_man.py",
        "canceller.left.keys() <= listed.keys() and not",
        "not",
        "tests/live/test_dead_man.py",
    ),
    Fault(
        "mm/live/run/trade_run.py",
        "if unended and not left:",
        "if unended:",
        "tests/live/test_ends_together.py",
    ),
    Fault("mm/live/run/flatten.py", "fees.paid_e8[1] if", "fees.paid_e8[0] if", "tests/live/test_flatten.py"),
    Fault(
        "mm/live/audit/log.py",
        "if why and not isinstance(self.failure, LogLost)",
        "if why and self.failure is None",
        "tests/live/test_audit_lost.py",
    ),
    Fault(
        "mm/live/venues/measured_latency.py", "us - offset_us for us", "us for us", "tests/live/test_venue_latency.py"
    ),
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
    # rules that one test holds each
    Fault(
        "mm/margin/wallet.py",
        "            if not order.reduce_only:\n                open_tl",
        "            if True:\n                open_tl",
        "tests/sim/exchange/usdm/test_usdm_orders.py",
    ),
    Fault(
        "mm/margin/wallet.py",
        "        if order.reduce_only:\n            return 0\n",
        "",
        "tests/sim/exchange/usdm/test_usdm_orders.py",
    ),
    Fault(
        "mm/live/orders/protection.py",
        "self._share_e8 is None or self._ended or not found.qty_e8",
        "self._share_e8 is None or not found.qty_e8",
        "tests/live/test_protection.py",
    ),
    Fault(
        "mm/live/orders/queries.py",
        "not (self.payments_due or pending)",
        "not self.payments_due",
        "tests/live/test_reconciled_pages.py",
    ),
    Fault(
        "mm/live/orders/queries.py",
        "read = not announced_us or last_us + PAID_AGAIN_US >= announced_us",
        "read = True",
        "tests/live/test_reconciled_pages.py",
    ),
    Fault(
        "mm/calibration/day_orders.py",
        "end_us - SETTLED_S * US_PER_S + 1",
        "end_us",
        "tests/calibration/test_day_orders.py",
    ),
    Fault(
        "mm/live/run/live_run.py",
        "not any(live.may_rest for live in lives)",
        "not all(live.may_rest for live in lives)",
        "tests/live/test_ends_together.py",
    ),
    Fault(
        "mm/live/run/trade_run.py",
        "for key in self.account.symbols if each.get(key)",
        "for key in self.account.symbols[:1] if each.get(key)",
        "tests/live/test_ends_together.py",
    ),
    Fault(
        "mm/live/run/trader.py",
        "until_us = self._clock() + round(seconds * US_PER_S)",
        "until_us = self._clock() + round(seconds * 1_000)",
        "tests/live/test_trader.py",
    ),
    Fault(
        "mm/backtest/metrics/summary.py",
        "pnl.quoting + pnl.fees - closed",
        "pnl.quoting - closed",
        "tests/backtest/metrics/test_summary.py",
    ),
    Fault(
        "mm/backtest/io.py",
        "fills.lots + fills.side * journal.base_fee_lots",
        "fills.lots",
        "tests/live/test_trade_files.py",
    ),
    Fault(
        "mm/live/pages/compare.py",
        "[run for run in runs if not run.again]",
        "list(runs)",
        "tests/live/test_compare.py",
    ),
    Fault(
        "mm/backtest/market_without_us.py",
        "before, left = lots if since < ms else before, lots",
        "before, left = before, lots",
        "tests/backtest/test_market_without_us.py",
    ),
    Fault(
        "mm/backtest/market_without_us.py",
        "return (0, most) if self.leaving and self.steps[-1][1] else (fewest, most)",
        "return (fewest, most)",
        "tests/backtest/test_market_without_us.py",
    ),
    Fault(
        "mm/backtest/metrics/long_run.py",
        "size *= (student_quantile(degrees) / NORMAL) ** 2",
        "size *= 1.0",
        "tests/backtest/metrics/test_long_run.py",
    ),
    Fault(
        "mm/backtest/metrics/markouts.py",
        "if count < LEAST_FILLS:",
        "if count < 2:",
        "tests/backtest/metrics/test_markouts.py",
    ),
    Fault(
        "mm/backtest/metrics/markouts.py",
        'known = (later > 0) & (later_us <= journal.counters["last_us"])\n        after',
        "known = later > 0\n        after",
        "tests/backtest/metrics/test_markouts.py",
    ),
    Fault(
        "mm/backtest/journal.py",
        "arrived: Mask = (self.active_us <= self.last_us) | (self.end_us != NEVER)",
        "arrived: Mask = self.end_us != NEVER",
        "tests/backtest/metrics/test_order_lives.py",
    ),
    Fault(
        "mm/backtest/metrics/overfitting.py",
        "variance = (1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2) * max(inflation, 1.0)",
        "variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2",
        "tests/backtest/metrics/test_overfitting.py",
    ),
    Fault(
        "mm/backtest/metrics/pnl.py",
        "carried = target * int(marks2[-1] - marks2[0])",
        "carried = 0",
        "tests/backtest/metrics/test_pnl.py",
    ),
    Fault(
        "mm/backtest/metrics/risk.py",
        "return spans.covered_us / PERIOD_US / max(days, 1) * days_a_year",
        "return 1440 * days_a_year",
        "tests/backtest/metrics/test_recomputed_runs.py",
    ),
    Fault(
        "mm/backtest/metrics/risk.py",
        "rho = dot(centred[lag:], centred[:-lag]) / variance\n        factor += 2 * (1 - lag / (last + 1)) * rho",
        "rho = dot(centred[lag:], centred[:-lag]) / variance\n        factor += 2 * rho",
        "tests/backtest/metrics/test_risk.py",
    ),
    Fault(
        "mm/backtest/metrics/spans.py",
        "if 2 * rest >= length:",
        "if rest >= length:",
        "tests/backtest/metrics/test_spans.py",
    ),
    Fault(
        "mm/backtest/metrics/summary.py",
        "sample = Sample.of(changes / account.per_quote, len(set(terms.days))) if knows else None",
        "sample = Sample.of(changes / account.per_quote, len(set(terms.days)))",
        "tests/backtest/metrics/test_summary.py",
    ),
    Fault("mm/base/user_code.py", "sys.modules.update(hidden)", "pass", "tests/commands/test_kept_source.py"),
    Fault("mm/base/audit_chain.py", "elif line.prev != hashes[-1]:", "elif False:", "tests/test_audit_chain.py"),
    Fault(
        "mm/base/numbers.py",
        "NORMAL if blocks is None else float(stdtrit(blocks - 1, 0.975))",
        "NORMAL",
        "tests/test_evidence.py",
    ),
    Fault(
        "mm/base/numbers.py",
        "return ABOVE if low > 0 else BELOW if high < 0 else UNDECIDED",
        "return ABOVE if low + high > 0 else BELOW",
        "tests/test_evidence.py",
    ),
    Fault(
        "mm/calibration/day_orders.py", "rows.fills[taken == row] -= 1", "pass", "tests/calibration/test_day_orders.py"
    ),
    Fault(
        "mm/calibration/exposure.py",
        "last = 1.2 * at + 0.25",
        "last = math.inf",
        "tests/calibration/test_fills_measured.py",
    ),
    Fault(
        "mm/calibration/fit_points.py",
        "if goodness_p is not None and goodness_p < POOR_FIT_P:",
        "if False:",
        "tests/calibration/test_fit_points.py",
    ),
    Fault(
        "mm/calibration/fit_points.py",
        "if side_lr_p is not None and side_lr_p < POOR_FIT_P:",
        "if False:",
        "tests/calibration/test_fit_points.py",
    ),
    Fault(
        "mm/calibration/intervals.py",
        "back = np.array([[error_pivot, pivot * error_k], [0.0, error_k]]) @ axes",
        "back = np.array([[error_pivot, 0.0], [0.0, error_k]]) @ axes",
        "tests/calibration/test_intervals.py",
    ),
    Fault(
        "mm/calibration/moves.py",
        "whole &= us + horizon_s * US_PER_S <= end_us",
        "whole &= us <= end_us",
        "tests/calibration/test_moves.py",
    ),
    Fault(
        "mm/calibration/reference_choice.py",
        "if gain > max(clear * error, LEAST_GAIN)",
        "if gain > LEAST_GAIN",
        "tests/calibration/test_reference_choice.py",
    ),
    Fault(
        "mm/calibration/schedule.py",
        "if number < 0 or us >= self.segments[number].end_us:",
        "if number < 0:",
        "tests/calibration/test_schedule.py",
    ),
    Fault(
        "mm/calibration/sweeps.py",
        "opens: Mask = new | (trade_us == 0)",
        "opens: Mask = new",
        "tests/calibration/test_depth_counts.py",
    ),
    Fault(
        "mm/calibration/sweeps.py",
        "return deepest + (traded < ahead + self._needed)",
        "return deepest",
        "tests/calibration/test_depth_counts.py",
    ),
    Fault(
        "mm/calibration/tally.py",
        "exposed -= sum_by(place, us * share, shape[0] * shape[1]).reshape(shape)",
        "pass",
        "tests/calibration/test_tally.py",
    ),
    Fault(
        "mm/calibration/volatility.py",
        "return (slow - share * fast) / (1 - share)",
        "return slow",
        "tests/calibration/test_volatility.py",
    ),
    Fault(
        "mm/calibration/windows.py",
        "age_s = length_s - (block + 0.5) * BLOCK_S",
        "age_s = length_s - block * BLOCK_S",
        "tests/calibration/test_windows.py",
    ),
    Fault(
        "mm/calibration/windows.py",
        "later = sum(min(us, end_us) - start_us for start_us, end_us in self.days[1:] if start_us < us)",
        "later = 0",
        "tests/calibration/test_windows.py",
    ),
    Fault(
        "mm/calibration/windows.py",
        "return round(self.train_window_min * US_PER_MIN) - self.latency_us",
        "return round(self.train_window_min * US_PER_MIN)",
        "tests/calibration/test_windows.py",
    ),
    Fault("mm/dayfolder/check_trades.py", "if content != first:", "if False:", "tests/dayfolder/test_check_trades.py"),
    Fault(
        "mm/dayfolder/coverage.py",
        "left_us -= sum(us for us in shared if us > 0)",
        "left_us -= 0",
        "tests/tape/test_excluded.py",
    ),
    Fault(
        "mm/dayfolder/seal.py",
        "if (manifest.symbol, manifest.day) != (folder.symbol, folder.day):",
        "if False:",
        "tests/dayfolder/test_seal.py",
    ),
    Fault(
        "mm/formats/databento.py",
        "if self._alone.setdefault(column, value) != value:",
        "if False:",
        "tests/formats/test_databento.py",
    ),
    Fault(
        "mm/formats/feed.py",
        "return self._last_side or 1 if beyond == 0 else 1 if beyond > 0 else -1",
        "return 1",
        "tests/formats/test_formats_feed.py",
    ),
    Fault(
        "mm/formats/hftbacktest.py",
        "= ((flags & LOCAL) != 0) | ((flags & (LOCAL | EXCH)) == 0)",
        "= np.ones(len(flags), bool)",
        "tests/formats/test_hftbacktest_export.py",
    ),
    Fault(
        "mm/formats/lobster.py",
        "np.where(hidden & _masked(pair), 0, -part.direction)",
        "-part.direction",
        "tests/formats/test_lobster.py",
    ),
    Fault(
        "mm/formats/table.py",
        'table.words["maker"] = {"": 0, "null": 0, **flags_by({True: side, False: -side})}',
        'table.words["maker"] = {"": 0, "null": 0, **flags_by({True: -side, False: side})}',
        "tests/formats/test_table.py",
    ),
    Fault(
        "mm/formats/tardis.py",
        'for name in cells["symbol"].unique().to_list()}',
        'for name in cells["symbol"].unique().to_list()[:1]}',
        "tests/formats/test_tardis.py",
    ),
    Fault(
        "mm/live/account/account_check.py",
        "if found.us and key in self._known:",
        "if False:",
        "tests/live/test_account_check.py",
    ),
    Fault(
        "mm/live/account/account_check.py",
        "self._seen = self._seen + 1 if differs == self._last else 1",
        "self._seen = self._seen + 1",
        "tests/live/test_account_check.py",
    ),
    Fault(
        "mm/live/account/account_check.py",
        "self.missed and not self.strangers and (self.shared.missed or not shared)",
        "self.missed and (self.shared.missed or not shared)",
        "tests/live/test_account_check.py",
    ),
    Fault(
        "mm/live/account/ledger.py",
        "max(account_rate_e8 or 0, STANDARD_RATE_E8)",
        "(account_rate_e8 or STANDARD_RATE_E8)",
        "tests/live/test_live_ledger.py",
    ),
    Fault(
        "mm/live/venues/fills.py",
        "return given_e8 or e8(self.price) * e8(self.qty) // E8",
        "return e8(self.price) * e8(self.qty) // E8",
        "tests/live/test_live_ledger.py",
    ),
    Fault(
        "mm/live/account/ledger.py",
        "return whole + (2 * rest > unit or (2 * rest == unit and whole % 2))",
        "return whole + (2 * rest >= unit)",
        "tests/live/test_live_ledger.py",
    ),
    Fault(
        "mm/backtest/account_limits.py",
        "if len(losses) == len(risk) > 0 else None",
        "if losses else None",
        "tests/live/test_account_limits.py",
    ),
    Fault(
        "mm/live/account/limits.py",
        "if name != symbol]\n        used",
        "]\n        used",
        "tests/live/test_account_limits.py",
    ),
    Fault(
        "mm/live/account/limits.py",
        "if self._bounds.loss_e8 is None or self.unpriced():",
        "if self._bounds.loss_e8 is None:",
        "tests/live/test_account_limits.py",
    ),
    Fault(
        "mm/live/account/limits.py",
        "return (lost_e8, self._bounds.loss_e8) if lost_e8 > self._bounds.loss_e8 else None",
        "return None",
        "tests/live/test_account_limits.py",
    ),
    Fault(
        "mm/backtest/engine/_risk.pxd",
        "return (over + unit - 1) / unit if up and over > 0 else over / unit",
        "return over / unit",
        "tests/live/test_account_limits.py",
    ),
    Fault(
        "mm/live/audit/books.py",
        "if not self.ledger.book(fill):\n            return",
        "self.ledger.book(fill)",
        "tests/live/test_audit_books.py",
    ),
    Fault(
        "mm/live/audit/books.py",
        "if order.is_open and order.booked_e8 >= e8(order.qty):",
        "if False:",
        "tests/live/test_audit_books.py",
    ),
    Fault(
        "mm/live/audit/books.py",
        "if order.is_open or order.status == REJECTED:\n            order.status = FILLED",
        "if order.is_open:\n            order.status = FILLED",
        "tests/live/test_audit_books.py",
    ),
    Fault(
        "mm/live/audit/history.py",
        "clean = clean + (day < today) if unbreached else 0",
        "clean = clean + (day < today) if unbreached else clean",
        "tests/live/test_trade_history.py",
    ),
    Fault(
        "mm/live/audit/history.py",
        "return day_e8, max(peaks, default=None)",
        "return day_e8, min(peaks, default=None)",
        "tests/live/test_trade_history.py",
    ),
    Fault(
        "mm/live/audit/history.py",
        'row["type"] == "kill" or (row["type"] == "breach" and row.get("limit") != PACING)',
        'row["type"] == "kill"',
        "tests/live/test_trade_history.py",
    ),
    Fault(
        "mm/live/venues/filters.py",
        "limits = self.instrument.filters\n        up, down = (limits.bid_up_e8, limits.bid_down_e8) if side > 0",
        "limits = self.instrument.filters\n        up, down = (limits.bid_up_e8, limits.bid_down_e8) if side < 0",
        "tests/live/test_order_checks.py",
    ),
    Fault(
        "mm/live/venues/filters.py",
        "e8(base[0]) + min(e8(base[1]), locks_e8[-1])",
        "e8(base[0]) + locks_e8[-1]",
        "tests/live/test_order_checks.py",
    ),
    Fault(
        "mm/live/venues/filters.py",
        "left_e8 = max(order.qty_e8 - max(order.executed_e8, order.booked_e8), 0)",
        "left_e8 = max(order.qty_e8 - order.booked_e8, 0)",
        "tests/live/test_order_checks.py",
    ),
    Fault(
        "mm/live/venues/filters.py",
        "not order.booked_e8 < qty_e8 < order.qty_e8",
        "not qty_e8 < order.qty_e8",
        "tests/live/test_order_checks.py",
    ),
    Fault(
        "mm/live/venues/filters.py",
        "stay = sum(not order.cancelling for order in open_orders)",
        "stay = sum(1 for one in open_orders)",
        "tests/live/test_order_checks.py",
    ),
    Fault(
        "mm/live/pages/compare.py",
        "begin_us, end_us = max(run.span[0] for run in runs), min(run.span[1] for run in runs)",
        "begin_us, end_us = min(run.span[0] for run in runs), max(run.span[1] for run in runs)",
        "tests/live/test_compare.py",
    ),
    Fault(
        "mm/live/pages/watchdog.py",
        "none_open_us(self._out_root, symbol) > orders.last_us",
        "True",
        "tests/live/test_watchdog.py",
    ),
    Fault(
        "mm/live/run/flatten.py",
        "(band_e8 is not None and abs(level_e8 - mid_e8) * E8 > band_e8 * mid_e8)",
        "False",
        "tests/live/test_flatten.py",
    ),
    Fault("mm/live/run/flatten.py", "if self.total_e8 > self._consent_e8:", "if False:", "tests/live/test_flatten.py"),
    Fault(
        "mm/live/venues/spot_messages.py",
        "side_e8 = max(e8(self.buyer), e8(self.seller))",
        "side_e8 = 0",
        "tests/live/test_fee_values.py",
    ),
    Fault(
        "mm/live/account/fee_values.py",
        "if fill.commission_asset in self._own or not e8(fill.commission):",
        "if not e8(fill.commission):",
        "tests/live/test_fee_values.py",
    ),
    Fault(
        "mm/market_data/doubts.py",
        "min(abs(first_id - reached), abs(last_id - reached)) <= FAR_IDS",
        "True",
        "tests/market_data/test_doubts.py",
    ),
    Fault(
        "mm/market_data/rate_budget.py",
        "self._attempt_s is None or now_s - self._attempt_s >= HEALTHY_S",
        "True",
        "tests/market_data/test_backoff.py",
    ),
    Fault(
        "mm/market_data/stamps.py",
        "if us > middle + FAR_US and (last is None or us > last + FAR_US):",
        "if False:",
        "tests/market_data/test_recorder.py",
    ),
    Fault(
        "mm/market_data/sync_engine.py",
        "lastUpdateId < kept[0].U - 1",
        "lastUpdateId < kept[0].U - 2",
        "tests/market_data/test_sync_engine.py",
    ),
    Fault(
        "mm/markets/sequence.py",
        "self.rule, self.least = rule, rule.least",
        "self.rule, self.least = rule, 1",
        "tests/markets/test_binance_usdm.py",
    ),
    Fault("mm/market_data/trade_state.py", "trade.f > self._of_last", "True", "tests/market_data/test_trade_state.py"),
    Fault(
        "mm/play/market.py",
        "if name < tape.days[0]]",
        "if name <= tape.days[0]]",
        "tests/commands/test_fitted_signals.py",
    ),
    Fault(
        "mm/play/models.py",
        "and 0 <= begin_us < (fitted.window.end_us or 0)",
        "and False",
        "tests/play/test_made_models.py",
    ),
    Fault(
        "mm/play/own_activity.py",
        "0 if ended else max(self.qty_e8 - self.filled_e8, 0)",
        "0 if ended else self.qty_e8",
        "tests/play/test_own_activity.py",
    ),
    Fault(
        "mm/play/sensitivity.py",
        'if row["role"] == "other" and own is not None and pnl <= own]',
        'if row["role"] == "other"]',
        "tests/play/test_sensitivity.py",
    ),
    Fault(
        "mm/play/sensitivity.py",
        "order_latency_us=round(rules.order_latency_us * factor)",
        "order_latency_us=rules.order_latency_us",
        "tests/play/test_sensitivity.py",
    ),
    Fault(
        "mm/backtest/run_terms.py",
        "unit_e8 / (tick_e8 * multiplier)",
        "unit_e8 / tick_e8",
        "tests/backtest/test_break_even.py",
    ),
    Fault(
        "mm/backtest/metrics/pnl.py",
        "valid &= account.valid[row]",
        "valid = account.valid[row]",
        "tests/backtest/metrics/test_pnl.py",
    ),
    Fault(
        "mm/backtest/metrics/notes.py",
        "fees <= max(captured, 0.0)",
        "fees <= 0.0",
        "tests/commands/test_unearned_fees.py",
    ),
    Fault(
        "mm/backtest/engine/_own_orders.pxd",
        "if order.lots and orders.awaits_room[slot_of(order.side)]:",
        "if False:",
        "tests/backtest/test_engine.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/engine/_order_manager.pyx",
        "room < NO_BOUND and lots > room - self.orders.open.lots[slot_of(side)]",
        "room < NO_BOUND and lots > room",
        "tests/backtest/test_engine.py " + ENGINE,
    ),
    Fault(
        "mm/backtest/engine/live_feed.py",
        "if self._halted and kind != TRADE:",
        "if False:",
        "tests/live/test_reconcile.py",
    ),
    Fault(
        "mm/signals/artefact.py",
        "if (symbol or fitted[0], tick_e8) != fitted:",
        "if False:",
        "tests/signals/test_artefact.py",
    ),
    Fault(
        "mm/predict/scoring.py",
        "length_us = max(min(BLOCK_S * US_PER_S, span_us / 40), 2 * horizon_s * US_PER_S)",
        "length_us = min(BLOCK_S * US_PER_S, span_us / 40)",
        "tests/predict/test_scoring.py",
    ),
    Fault(
        "mm/probes/counterfactual.py",
        "tape.row_lots[rows] * times]",
        "tape.row_lots[rows]]",
        "tests/probes/test_counterfactual.py",
    ),
    Fault(
        "mm/probes/queue_exponent.py",
        "alone = came & (known - least == 1)",
        "alone = came",
        "tests/probes/test_queue_exponent.py",
    ),
    Fault(
        "mm/report/hours.py",
        "enough = len(values) >= LEAST_FILLS and len(fills) >= LEAST_BLOCKS",
        "enough = True",
        "tests/report/test_hours.py",
    ),
    Fault(
        "mm/report/tear_sheet.py",
        "first, last = max(run.span[0] for run in runs), min(run.span[1] for run in runs)",
        "first, last = min(run.span[0] for run in runs), max(run.span[1] for run in runs)",
        "tests/report/test_tear_sheet.py",
    ),
    Fault("mm/rl/evaluation.py", "if pnl <= other:", "if False:", "tests/rl/test_evaluation.py"),
    Fault(
        "mm/runs/diff.py",
        "if (left, type(left)) != (right, type(right))",
        "if left != right",
        "tests/runs/test_runs_diff.py",
    ),
    Fault(
        "mm/runs/find.py",
        'usable = [run for run in runs if run.manifest["status"] == "ok"]',
        "usable = runs",
        "tests/runs/test_runs_find.py",
    ),
    Fault("mm/signals/score.py", "if total < LEAST_MOVES:", "if total < 1:", "tests/signals/test_signals_score.py"),
    Fault(
        "mm/signals/score.py",
        'unbroken = np.searchsorted(gaps, us[row], side="right") == np.searchsorted(gaps, then_us, side="right")',
        "unbroken = np.ones(len(then_us), bool)",
        "tests/signals/test_signals_score.py",
    ),
    Fault(
        "mm/sim/exchange/accounts.py",
        "if count >= limit.limit:",
        "if count > limit.limit:",
        "tests/sim/exchange/test_accounts.py",
    ),
    Fault(
        "mm/sim/exchange/rules.py",
        "if not cost_tl * self.multiplier_down_e8 <= ticks * lots * E8 <= cost_tl * self.multiplier_up_e8:",
        "if False:",
        "tests/sim/exchange/test_exchange_rules.py",
    ),
    Fault(
        "mm/sim/exchange/settlement.py",
        "fee + (rest * 2 > E8 or (rest * 2 == E8 and fee % 2))",
        "fee",
        "tests/sim/exchange/test_settlement.py",
    ),
    Fault("mm/sim/wire/limits.py", "if us >= self.minute_ends_us:", "if False:", "tests/sim/wire/test_wire_limits.py"),
    Fault(
        "mm/sim/wire/limits.py",
        "while times and times[0] <= now_s - self._seconds:",
        "while False:",
        "tests/sim/wire/test_wire_limits.py",
    ),
    Fault(
        "mm/base/estimate.py",
        "degrees, variance = effective - 1,",
        "degrees, variance = effective,",
        "tests/base/test_estimate.py",
    ),
    Fault(
        "mm/sweep/findings.py",
        "SelectionBias(len(group) + stopped)",
        "SelectionBias(len(group))",
        "tests/sweep/test_findings.py",
    ),
    Fault(
        "mm/trials/on_record.py",
        "return rho + (1 - rho) * trials",
        "return trials",
        "tests/sweep/test_findings.py tests/trials",
    ),
    Fault(
        "mm/sweep/search.py",
        'worst = max if self.rank_by == "max_drawdown" else min',
        "worst = min",
        "tests/sweep/test_search.py",
    ),
    Fault(
        "mm/tape/excluded.py",
        "breaks = np.flatnonzero(ids[1:] != ids[:-1] + 1) + 1",
        "breaks = np.flatnonzero(ids[1:] < ids[:-1]) + 1",
        "tests/tape/test_excluded.py",
    ),
    Fault("mm/tape/feed.py", "if fine and least < most:", "if least < most:", "tests/tape/test_feed.py"),
    Fault(
        "mm/tape/feed.py",
        "np.where(least == _NEVER, late_us, least) - QUICKEST_US, apart_us",
        "np.where(least == _NEVER, late_us, least), apart_us",
        "tests/tape/test_feed.py",
    ),
    Fault(
        "mm/tape/feed.py",
        "stray = np.abs(apart_us) > STRAY_US\n    happened",
        "stray = np.zeros(len(late_us), bool)\n    happened",
        "tests/tape/test_feed.py",
    ),
    Fault("mm/tape/recorded.py", "if row.at.seq > confirmed and", "if", "tests/tape/test_recorded.py"),
    Fault(
        "mm/live/account/ledger.py",
        "day_at(fill.us) > self._day[0]",
        "day_at(fill.us) != self._day[0]",
        "tests/live/test_live_ledger.py",
    ),
    Fault(
        "mm/live/account/limits.py",
        "max(0.0, used / bounds[name])",
        "abs(used / bounds[name])",
        "tests/live/test_account_limits.py",
    ),
    Fault(
        "mm/live/run/flatten.py",
        "taken_e8 = min(left_e8, qty_e8 // grid.lot_e8 * grid.lot_e8)",
        "taken_e8 = min(left_e8, qty_e8)",
        "tests/live/test_flatten.py",
    ),
    Fault(
        "mm/live/pages/compare.py",
        "worse / first.tick",
        "worse",
        "tests/live/test_compare.py",
    ),
    Fault(
        "mm/calibration/schedule.py",
        "sigma_ticks=own.sigma_ticks",
        "sigma_ticks=used.sigma_ticks",
        "tests/calibration/test_schedule.py",
    ),
    Fault(
        "mm/calibration/depth_counts.py",
        "whole = (min([end_us, *cuts]) - start_us)",
        "whole = (end_us - start_us)",
        "tests/calibration/test_shared_sums.py",
    ),
    Fault(
        "mm/margin/wallet.py",
        "over_e8 = equity_e8 - others_e8 - sum(one.cost_e8 for one in moving)",
        "over_e8 = equity_e8 - sum(one.cost_e8 for one in moving)",
        "tests/sim/exchange/usdm/test_wallet.py",
    ),
    Fault(
        "mm/margin/liquidation.py",
        "for bracket in reversed(lower):",
        "for bracket in lower:",
        "tests/backtest/test_margin_account.py",
    ),
    Fault(
        "mm/margin/liquidation.py",
        "-(-numerator // (amount_e8 * tick_e8)) if",
        "numerator // (amount_e8 * tick_e8) if",
        "tests/sim/exchange/usdm/test_liquidation.py",
    ),
    Fault(
        "mm/backtest/metrics/ranking.py",
        "columns * (columns - 1) / 2)",
        "columns - 1)",
        "tests/sweep/test_findings.py",
    ),
    Fault(
        "mm/sweep/findings.py",
        " * (1 + stopped / len(played))",
        "",
        "tests/sweep/test_findings.py",
    ),
    Fault(
        "mm/play/market.py",
        "[-MICRO_PRICE_DAYS:]",
        "[:MICRO_PRICE_DAYS]",
        "tests/play/test_days_opened.py",
    ),
    Fault(
        "mm/tape/sync.py",
        "np.concatenate(received) >= until_us",
        "np.concatenate(received) > until_us",
        "tests/tape/test_known_at.py",
    ),
    # money: what fast tests had not noticed
    Fault(
        "mm/live/run/trade_account.py",
        "most_fee_e8(fill) if booked.fee_e8 is None else booked.fee_e8",
        "booked.fee_e8 or 0",
        "tests/live/test_limits_by_the_hour.py",
    ),
    Fault(
        "mm/live/audit/history.py",
        "held.cash_e8 - held.other_e8 - held.most_e8",
        "held.cash_e8 - held.other_e8",
        "tests/live/test_unknown_fees.py",
    ),
    Fault(
        "mm/live/audit/history.py",
        "if day != self._day and self._audit.failure is None:",
        "if not self._day and self._audit.failure is None:",
        "tests/live/test_marks_of_days.py",
    ),
    Fault(
        "mm/live/pages/contract_metrics.py",
        'if margin.equity_e8 > 0 else float("inf")',
        "if margin.equity_e8 > 0 else 0.0",
        "tests/live/test_contract_metrics.py",
    ),
    Fault("mm/live/venues/canceller.py", "or (none and empty[canceller]):", "or none:", "tests/live/test_canceller.py"),
    Fault(
        "mm/live/venues/canceller.py",
        "self._refusals, self._delay_s = 0, _FIRST_DELAY_S\n        return",
        "self._delay_s = _FIRST_DELAY_S\n        return",
        "tests/live/test_canceller.py",
    ),
    Fault(
        "mm/live/account/session.py",
        "self._refusals + 1 if refusal else 0",
        "self._refusals + 1 if refusal else self._refusals",
        "tests/live/test_account_session.py",
    ),
    Fault(
        "mm/live/account/ledger.py",
        "in_quote = fill.commission_asset == self._instrument.quote_asset",
        "in_quote = True",
        "tests/live/test_unknown_fees.py",
    ),
    Fault(
        "mm/live/account/ledger.py",
        "        self.last_trade_id = None\n\n    def lose_position",
        "\n    def lose_position",
        "tests/live/test_reconciled_pages.py",
    ),
    Fault(
        "mm/live/orders/queries.py",
        "if count < contract.income_page:",
        "if True:",
        "tests/live/test_reconciled_pages.py",
    ),
    Fault(
        "mm/live/orders/queries.py",
        "        self.checked_id = None\n        self._states.forget_trades()",
        "        self._states.forget_trades()",
        "tests/live/test_reconciled_pages.py",
    ),
    Fault(
        "mm/live/orders/reports.py",
        "(found.qty_e8 and now_s >= self._again_s)",
        "False",
        "tests/live/test_contract_watch.py",
    ),
    Fault(
        "mm/live/orders/contract_watch.py",
        "await asyncio.sleep(span_ms / 1_000 / _RENEWALS)",
        "await asyncio.sleep(span_ms / 1_000 * _RENEWALS)",
        "tests/live/test_contract_watch.py",
    ),
    Fault(
        "mm/live/venues/usdm_connection.py",
        "answer.us - round(answer.seconds * 1e6)",
        "answer.us",
        "tests/live/test_stream_of_orders.py",
    ),
    Fault(
        "mm/live/venues/filters.py",
        "sum(not order.cancelling for order in open_orders)",
        "sum(1 for order in open_orders)",
        "tests/live/test_order_checks.py",
    ),
    Fault(
        "mm/live/run/trader.py",
        "self._late or self._waits or self._engine.closed_for",
        "self._late or self._waits",
        "tests/live/test_limits_by_the_hour.py",
    ),
    Fault(
        "mm/live/_live_engine.pyx",
        "if self.time.is_closed(us) and self.manager.pulled_for is None:",
        "if self.time.is_closed(us):",
        "tests/live/test_limits_by_the_hour.py",
    ),
    Fault(
        "mm/backtest/engine/_reported_venue.pyx",
        "orders.awaits_room[1 - slot_of(side)]",
        "orders.awaits_room[slot_of(side)]",
        "tests/live/test_limits_by_the_hour.py",
    ),
    Fault(
        "mm/backtest/engine/_reported_venue.pyx",
        "or other.cancel_req_us != NEVER:",
        "or (other.cancel_req_us != NEVER and order.side < 0):",
        "tests/live/test_limits_by_the_hour.py",
    ),
    Fault(
        "mm/backtest/engine/_risk.pyx",
        "        if us >= self.day_ends_us:\n",
        "        if us >= self.day_ends_us and (self.given_day or self.day_ends_us < 0):\n",
        "tests/live/test_limits_by_the_hour.py",
    ),
    Fault(
        "mm/live/orders/sender.py",
        "            self._states.place_unknown(order, judged=answer.why is Why.CLOCK)\n        else:",
        "            self._states.place_unknown(order)\n        else:",
        "tests/live/test_silences_and_stamps.py",
    ),
    Fault(
        "mm/live/orders/symbol_orders.py",
        "call_later(silence_s + SILENCE_MARGIN_S, self._cancel_later, order)",
        "call_later(10 * silence_s + 60, self._cancel_later, order)",
        "tests/live/test_silences_and_stamps.py",
    ),
    Fault(
        "mm/market_data/health.py",
        'if market.book_id is not None and "depth" in session.latencies.arrived:',
        'if "depth" in session.latencies.arrived:',
        "tests/market_data/test_health.py",
    ),
    Fault(
        "mm/market_data/live_session.py",
        "        if self._newest[slot] == conn:\n",
        "        if True:\n",
        "tests/market_data/test_pairs_of_connections.py",
    ),
    Fault(
        "mm/market_data/ws_stream.py",
        "self._max_age_s * (1 - YOUNGER * slot)",
        "self._max_age_s",
        "tests/market_data/test_pairs_of_connections.py",
    ),
    Fault(
        "mm/market_data/ws_stream.py",
        "if number == conn or link.slot == slot:",
        "if number == conn or slot is not None:",
        "tests/market_data/test_pairs_of_connections.py",
    ),
    Fault(
        "mm/backtest/metrics/markouts.py",
        'known = (mid2 > 0) & (later > 0) & (later_us <= journal.counters["last_us"])',
        "known = (mid2 > 0) & (later > 0)",
        "tests/backtest/metrics/test_markouts.py",
    ),
    Fault(
        "mm/runs/trusted.py",
        "yield from (text for axis_value in values for text in _texts(axis_value, axis))",
        "yield from ((axis, axis_value) for axis_value in values)",
        "tests/runs/test_trusted_names.py",
    ),
    Fault(
        "mm/base/knobs.py",
        'escaped = letter == "\\\\" and not escaped',
        'escaped = letter == "\\\\"',
        "tests/cli/test_quotes_in_grids.py",
    ),
    Fault(
        "mm/margin/wallet.py",
        "        if order.reduce_only:\n            return 0\n        amount_e8",
        "        amount_e8",
        "tests/sim/exchange/usdm",
    ),
    Fault(
        "mm/backtest/metrics/pnl.py",
        "if row and us[row - 1] == at_us:",
        "if False:",
        "tests/backtest/metrics/test_funding_of_target.py",
    ),
    Fault(
        "mm/market_data/ws_stream.py",
        "until_s = min(until_s, loop.time() + LINGER_S)",
        "until_s = loop.time()",
        "tests/market_data/test_pairs_of_connections.py",
    ),
    Fault(
        "mm/live/run/trader.py",
        'self._engine.closed(order_id, us, status == "EXPIRED")',
        "self._engine.closed(order_id, us, False)",
        "tests/live/test_ends_of_orders.py",
    ),
    Fault(
        "mm/live/orders/symbol_orders.py",
        '            self._refuse(new_id, side, reason or unsent(""))\n            self.cancel(old_id)\n',
        '            self._refuse(new_id, side, reason or unsent(""))\n',
        "tests/live/test_ends_of_orders.py",
    ),
    Fault(
        "mm/live/venues/request_limits.py",
        'window_s > _UNITS_S["MINUTE"]',
        'window_s >= _UNITS_S["MINUTE"]',
        "tests/live/test_ends_of_orders.py",
    ),
    Fault(
        "mm/market_data/trade_state.py",
        "fill.missing, fill.misses = missing._replace(first_id=reached + 1), 0",
        "fill.missing = missing._replace(first_id=reached + 1)",
        "tests/market_data/test_patience_of_fills.py",
    ),
    Fault(
        "mm/live/account/session.py",
        "if self.clock.offset_us < before_us - US_PER_S:",
        "if False:",
        "tests/live/test_account_session.py",
    ),
    Fault(
        "mm/live/orders/queries.py",
        "if trade.us <= settled_us and not forced:",
        "if trade.us <= settled_us:",
        "tests/live/test_reconciled_pages.py",
    ),
    Fault(
        "mm/signals/formulas.pyx",
        "ring.entries[ring.head].us <= until_us:",
        "ring.entries[ring.head].us < until_us:",
        "tests/signals/test_window_edges.py",
    ),
    Fault(
        "mm/signals/formulas.pyx",
        "return now.us - now.epoch_us >= self.window",
        "return now.us - now.epoch_us > self.window",
        "tests/signals/test_window_edges.py",
    ),
    Fault(
        "mm/live/venues/positions.py",
        "if leverage is not None and setup.leverage != leverage:",
        "if leverage is not None and setup.leverage > leverage:",
        "tests/live/test_contract_setup.py",
    ),
    Fault(
        "mm/live/orders/queries.py",
        "self._missing_since_us = self._missing_since_us or answer.us",
        "self._missing_since_us = answer.us",
        "tests/live/test_reconciled_pages.py",
    ),
    Fault(
        "mm/live/orders/queries.py", "if self._limits.orders_used:", "if False:", "tests/live/test_reconciled_pages.py"
    ),
    Fault(
        "mm/live/orders/symbol_orders.py",
        "if self._states.in_doubt(side):",
        "if self._states.in_doubt(-side):",
        "tests/live/test_silences_and_stamps.py",
    ),
    Fault(
        "mm/live/audit/books.py",
        "            self.ledger.forget_trades()\n",
        "            pass\n",
        "tests/live/test_adopted_exchange.py",
    ),
    Fault(
        "mm/live/run/trade_account.py",
        "more_e8, self._counted_e8 = self.transfers_e8 - self._counted_e8, self.transfers_e8",
        "more_e8 = self.transfers_e8 - self._counted_e8",
        "tests/live/test_limits_by_the_hour.py",
    ),
    Fault(
        "mm/sim/exchange/settlement.py",
        "            account.count.filled(us, is_maker)\n",
        "            account.count.filled(us, True)\n",
        "tests/sim/exchange/test_order_counts.py",
    ),
    Fault(
        "mm/sim/exchange/exchange.py",
        "if left_lots <= 0:",
        "if left_lots < 0:",
        "tests/sim/exchange/test_amends_and_names.py",
    ),
    Fault(
        "mm/sim/exchange/exchange.py",
        "if client_id and known and known.is_open:",
        "if client_id and known:",
        "tests/sim/exchange/test_amends_and_names.py",
    ),
    Fault(
        "mm/live/venues/spot_messages.py",
        "return self.C or self.c, self.c",
        "return self.c, self.c",
        "tests/live/test_account_shown.py",
    ),
    Fault(
        "mm/live/run/observer.py",
        "carried = (self.account.position_e8 - self.account.ledger.position_e8) * (mid_e8 - self._begin.mid_e8) // E8",
        "carried = 0",
        "tests/live/test_account_shown.py",
    ),
    Fault(
        "mm/live/run/guardian.py",
        "(self._told.window_s + SETTLED_S if alone else 0.0)",
        "0.0",
        "tests/live/test_emptying_alone.py",
    ),
    Fault(
        "mm/live/venues/measured_latency.py",
        "return None if found is None else max(0, found.p50_us)",
        "return None if found is None else found.p50_us",
        "tests/live/test_quantiles_shown.py",
    ),
    Fault(
        "mm/live/pages/trading_metrics.py",
        "if count and before + count >= wanted:",
        "if count and before + count > wanted:",
        "tests/live/test_quantiles_shown.py",
    ),
    Fault(
        "mm/market_data/market_state.py",
        "if status == self._status and status in NOT_TRADED:",
        "if status == self._status:",
        "tests/market_data/test_statuses_and_doubts.py",
    ),
    Fault(
        "mm/market_data/doubts.py",
        "if held is None or held.conn != conn:",
        "if held is None:",
        "tests/market_data/test_statuses_and_doubts.py",
    ),
    Fault(
        "mm/sim/exchange/trades.py",
        "self._window[0][0] <= us - self._window_us:",
        "self._window[0][0] < us - self._window_us:",
        "tests/sim/exchange/test_edges_of_windows.py",
    ),
    Fault(
        "mm/sim/exchange/usdm/liquidation.py",
        "return share * leverage if share > 0 else share / leverage",
        "return share * leverage",
        "tests/sim/exchange/test_edges_of_windows.py",
    ),
    Fault(
        "mm/signals/families.py",
        "if window_us % US_PER_S or window_us < 2 * US_PER_S:",
        "if window_us % US_PER_S:",
        "tests/signals/test_short_windows.py",
    ),
    # rules, stops, totals and pages of an account
    Fault(
        "mm/live/orders/pauses.py",
        " or now_s < self._until_s[side]",
        "",
        "tests/live/test_trade_rules.py",
    ),
    Fault(
        "mm/live/account/account_check.py",
        "self.missed = self.strangers = False",
        "self.missed = False",
        "tests/live/test_account_check.py",
    ),
    Fault(
        "mm/live/account/ledger.py",
        "sorted(self._booked.items())[-KEPT_TRADES:]",
        "sorted(self._booked.items())[:KEPT_TRADES]",
        "tests/live/test_live_ledger.py",
    ),
    Fault(
        "mm/live/orders/protection.py",
        "for one in ours[:-1]:",
        "for one in ours[1:]:",
        "tests/live/test_protection.py",
    ),
    Fault(
        "mm/live/orders/protection.py",
        "return one.side == side and abs",
        "return abs",
        "tests/live/test_protection.py",
    ),
    Fault(
        "mm/live/orders/states.py",
        "order.cancel_wanted, order.cancels = True, 0\n        if order.state in",
        "order.cancel_wanted = True\n        if order.state in",
        "tests/live/test_order_states.py",
    ),
    Fault(
        "mm/live/orders/states.py",
        "self._steps.append(Reamend(order, order.amend_wanted))",
        "pass",
        "tests/live/test_order_states.py",
    ),
    Fault(
        "mm/live/orders/queries.py",
        "read_id = last_id if len(trades) < self._venue.page else max(found)",
        "read_id = last_id",
        "tests/live/test_order_queries.py",
    ),
    Fault(
        "mm/live/orders/queries.py",
        "order.counts_after = self._baseline_id",
        "order.counts_after = -1",
        "tests/live/test_order_queries.py",
    ),
    Fault(
        "mm/live/orders/queries.py",
        "                if price_e8:\n",
        "                if True:\n",
        "tests/live/test_order_queries.py",
    ),
    Fault(
        "mm/live/venues/canceller.py",
        "elif listed and self._first.isdisjoint(listed):",
        "elif listed:",
        "tests/live/test_canceller.py",
    ),
    Fault(
        "mm/live/audit/copies.py",
        "ends_open = open_end or log != list(starts)[-1]",
        "ends_open = True",
        "tests/live/test_audit_copies.py",
    ),
    Fault(
        "mm/live/audit/copies.py",
        "for head in found if head.symbol == symbol",
        "for head in found",
        "tests/live/test_audit_copies.py",
    ),
    Fault(
        "mm/sim/exchange/usdm/conditional.py",
        "one.close_position and one.side == new.side for",
        "one.close_position for",
        "tests/sim/exchange/usdm/test_conditional.py",
    ),
    Fault(
        "mm/live/venues/usdm_messages.py",
        'isolated, most_e8 = self.marginType.upper() == "ISOLATED"',
        'isolated, most_e8 = self.marginType == "ISOLATED"',
        "tests/live/test_usdm_venue.py",
    ),
    Fault(
        "mm/live/venues/usdm_messages.py",
        "_us(one.plannedRecoverTime or 0) if one.isLocked else 0",
        "_us(one.plannedRecoverTime or 0)",
        "tests/live/test_usdm_venue.py",
    ),
    Fault(
        "mm/live/venues/spot_messages.py",
        "burns = self.discount.enabledForAccount and self.discount.enabledForSymbol",
        "burns = self.discount.enabledForAccount",
        "tests/live/test_fee_values.py",
    ),
    Fault(
        "mm/live/venues/canceller.py",
        "SILENCE_S[answer.status] * 2**self._refusals",
        "SILENCE_S[answer.status]",
        "tests/live/test_account_edges.py",
    ),
    Fault(
        "mm/live/audit/history.py",
        'EquityMarks.of_row(venue, kept["mark"]) if "mark" in kept else None',
        "None",
        "tests/live/test_account_edges.py",
    ),
    Fault(
        "mm/live/account/session.py",
        "in self._trading(found.symbol) if found.symbol else list(self._members)",
        "in self._trading(found.symbol)",
        "tests/live/test_account_edges.py",
    ),
    Fault(
        "mm/live/state/writer.py",
        "self._documents = {**documents, **self._documents}",
        "self._documents = {**self._documents, **documents}",
        "tests/live/test_account_edges.py",
    ),
    Fault(
        "mm/live/run/guardian.py",
        "gone = self._told.box and time.monotonic()",
        "gone = time.monotonic()",
        "tests/live/test_emptying_alone.py",
    ),
    Fault(
        "mm/sim/exchange/parameters.py",
        "exchange_us(stamp) + (US_PER_MS - 1 if stamp < MS_BELOW else 0)",
        "exchange_us(stamp)",
        "tests/live/test_account_edges.py",
    ),
    Fault(
        "mm/sim/exchange/usdm/contract_rules.py",
        "if lots > (self.most_market_lots if market else self.most_lots):",
        "if lots > self.most_lots:",
        "tests/live/test_account_edges.py",
    ),
    Fault(
        "mm/live/audit/log.py",
        "found = crc32(text, found)",
        "found = written",
        "tests/live/test_audit_lost.py",
    ),
    Fault(
        "mm/live/run/flatten.py",
        "if qty_e8 < filters.min_qty_e8 or qty_e8 * price_e8",
        "if qty_e8 * price_e8",
        "tests/live/test_flatten.py",
    ),
    Fault(
        "mm/live/run/trader.py",
        "if not OF_RULES.isdisjoint(self._engine.manager.withheld_for):",
        "if False:",
        "tests/live/test_trader.py",
    ),
    Fault(
        "mm/live/venues/ws_api.py",
        "if answer.outcome is Outcome.DONE and waiting.route.counted:\n            self._expiries = 0",
        "if answer.outcome is Outcome.DONE:\n            self._expiries = 0",
        "tests/live/test_live_ws_api.py",
    ),
    Fault(
        "mm/live/venues/ws_api.py",
        "            self._limits.not_connected(refused_for_s(error))\n",
        "",
        "tests/live/test_live_ws_api.py",
    ),
    Fault(
        "mm/live/orders/queries.py",
        "if one.us >= begun_us:",
        "if one.us > 0:",
        "tests/live/test_order_queries.py",
    ),
    Fault(
        "mm/backtest/metrics/fills_forecast.py",
        "draws.sd * math.sqrt(1 + 1 / draws.n)",
        "draws.sd / math.sqrt(draws.n)",
        "tests/trials/test_earlier_fills.py",
    ),
    Fault(
        "mm/trials/earlier_fills.py",
        "if name == symbol and day < first_day",
        "if name == symbol and day != first_day",
        "tests/trials/test_earlier_fills.py",
    ),
    Fault(
        "mm/live/orders/protection.py",
        "not adopted and self._others.has_written(one.client_id)",
        "self._others.has_written(one.client_id)",
        "tests/live/test_protection.py",
    ),
    Fault(
        "mm/live/orders/protection.py",
        "gone = answer.outcome is Outcome.REFUSED and answer.why in",
        "gone = answer.outcome is Outcome.REFUSED or answer.why in",
        "tests/live/test_protection.py",
    ),
    Fault(
        "mm/live/venues/canceller.py",
        "wanted += [order for order in waiting",
        "wanted = [order for order in waiting",
        "tests/live/test_canceller.py",
    ),
    Fault(
        "mm/live/account/holdings.py",
        "if us > answer_us + US_PER_S:",
        "if False:",
        "tests/live/test_holdings.py",
    ),
    Fault(
        "mm/live/orders/states.py",
        "if order.amend_doubt and not order.ending:",
        "if not order.ending:",
        "tests/live/test_order_states.py",
    ),
    Fault(
        "mm/live/orders/contract_watch.py",
        "if silence_s := self._session.limits.silence_s:",
        "if silence_s := 0:",
        "tests/live/test_contract_watch.py",
    ),
    Fault(
        "mm/live/venues/usdm_connection.py",
        "if isinstance(error, SSLCertVerificationError) and not self._was_up:",
        "if isinstance(error, SSLCertVerificationError):",
        "tests/live/test_usdm_connection.py",
    ),
    Fault(
        "mm/live/run/guardian.py",
        "if over_s > HUNG_S and all(orders.empty_s or orders.refused for orders in self._orders):",
        "if over_s > HUNG_S:",
        "tests/live/test_guardian.py",
    ),
    Fault(
        "mm/live/run/guardian.py",
        "silent = silent_s > SILENT_S and self._noticed_s > 0",
        "silent = silent_s > SILENT_S",
        "tests/live/test_guardian.py",
    ),
    Fault(
        "mm/live/orders/symbol_orders.py",
        "        order.reduces = True\n        seq",
        "        seq",
        "tests/live/test_contract_gateway.py",
    ),
    Fault(
        "mm/live/orders/contract_watch.py",
        '            self._differs = ""',
        "            pass",
        "tests/live/test_contract_gateway.py",
    ),
    Fault(
        "mm/live/audit/books.py",
        'if order is None:\n            return\n        order.status = row.get("status")',
        'order.status = row.get("status")',
        "tests/live/test_audit_books.py",
    ),
    # money: the second time, the second symbol, the second file
    Fault(
        "mm/live/orders/queries.py",
        "self.payments_due = self.payments_due or not read",
        "pass",
        "tests/live/test_reconciled_pages.py",
    ),
    Fault(
        "mm/live/orders/queries.py",
        "            self._missing_since_us = 0\n            return\n",
        "            return\n",
        "tests/live/test_reconciled_pages.py",
    ),
    Fault(
        "mm/live/run/flatten.py",
        "e8(trade.strategy.account.taker_fee_rate)",
        "e8(trade.strategy.account.maker_fee_rate)",
        "tests/live/test_flatten.py",
    ),
    Fault(
        "mm/live/run/trade_run.py",
        "self.account.left[self.key] = left",
        "self.account.left[self.account.symbols[0]] = left",
        "tests/live/test_ends_together.py",
    ),
    Fault(
        "mm/live/run/trade_run.py",
        'or "error", open=left,',
        'or "error", open=(),',
        "tests/live/test_ends_together.py",
    ),
    Fault("mm/live/venues/filters.py", "and not reduces:", "and True:", "tests/live/test_order_checks.py"),
    Fault("mm/live/orders/pauses.py", "= 0.5, 30.0", "= 0.5, 30_000.0", "tests/live/test_trade_rules.py"),
    Fault(
        "mm/live/account/ledger.py",
        "            self._move(price_e8, -paid_e8)",
        "            self.position_e8 -= paid_e8",
        "tests/live/test_live_ledger.py",
    ),
    Fault(
        "mm/play/setup.py",
        '        named += [Path(leg["latency_file"]) for leg in legs if "latency_file" in leg]\n',
        "",
        "tests/sweep/test_sweep_store.py",
    ),
    Fault(
        "mm/sweep/store.py",
        "[files[path] for path in setup.files]",
        "[files[path] for path in setup.files[:1]]",
        "tests/sweep/test_sweep_store.py",
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
