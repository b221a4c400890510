"""The ``mm`` program: every command of the project by name. Its help imports none of them."""

import os
import signal
import sys
import threading

from mm.base.process_list import hide_secrets

if __name__ == "__main__" or sys.argv[0].endswith("mm"):
    hide_secrets(sys.argv, os.environ)

# An interrupt during the imports ends the process by the signal, without a traceback.
_INTERRUPTED = signal.getsignal(signal.SIGINT)
_EARLY = _INTERRUPTED is signal.default_int_handler and threading.current_thread() is threading.main_thread()
if _EARLY:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import click

import mm
from mm import sim
from mm.cli.frame import Commands, Program

# Before numpy is imported: for matrices as small as here more BLAS threads only wait for each other, and with one
# thread the order of summation is the same on every machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_DATA: Commands = {
    "import": ("Convert raw captures or third-party files to day folders.", "mm.catalog.data:data_import"),
    "fetch": ("Fetch a published day of Binance.", "mm.catalog.data:data_fetch"),
    "check": ("Validate a day folder.", "mm.catalog.data:data_check"),
    "repair": ("Repair a damaged day folder from its raw messages.", "mm.catalog.data:data_repair"),
    "export": ("Write a day folder as Parquet, or for hftbacktest.", "mm.catalog.data:data_export"),
    "import-parquet": ("Write a day folder from its Parquet export.", "mm.catalog.data:data_import_parquet"),
    "inspect": ("Summarise and draw a day.", "mm.catalog.data:data_inspect"),
    "coverage": (
        "Report the coverage of day folders, and the spans excluded from backtests.",
        "mm.catalog.data:data_coverage",
    ),
}
_RUNS: Commands = {
    "list": ("List the runs under OUT_ROOT.", "mm.catalog.results:runs_list"),
    "show": ("Show one run.", "mm.catalog.results:runs_show"),
    "log": ("Show the log of a run.", "mm.catalog.results:runs_log"),
    "diff": ("Show the differences between two runs.", "mm.catalog.results:runs_diff"),
    "compare": (
        "Draw the tear sheet of several backtests.",
        "mm.catalog.results:runs_compare",
    ),
    "tag": ("Add tags and a note to a run.", "mm.catalog.results:runs_tag"),
    "export": ("Write the numbers of all runs as one table.", "mm.catalog.results:runs_export"),
    "reproduce": ("Replay a run and verify that its output is identical.", "mm.catalog.results:runs_reproduce"),
    "explain": ("Show the tape around a fill, and why it happened.", "mm.catalog.results:runs_explain"),
}
_TAPES: Commands = {
    "list": ("List the stored tapes, with their size and last use.", "mm.catalog.data:tapes_list"),
    "prune": ("Remove stored tapes by age and total size.", "mm.catalog.data:tapes_prune"),
}
_FILLS: Commands = {
    "score": ("Score the fill models on a day with a full order log.", "mm.catalog.calibration:fills_score"),
    "fit": ("Estimate the exponent of queue_prob_power from a recorded day.", "mm.catalog.calibration:fills_fit"),
}
_CHECK: Commands = {
    "lookahead": ("Test whether a model or a signal looks ahead.", "mm.catalog.backtests:check_lookahead"),
}
_SIGNALS: Commands = {
    "list": ("List the signals: names, units, formulas, sources.", "mm.catalog.signals:signals_list"),
    "compute": ("Compute signals over recorded days, a Parquet file.", "mm.catalog.signals:signals_compute"),
    "score": ("Score signals against the next move of the mid.", "mm.catalog.signals:signals_score"),
}
_PREDICT: Commands = {
    "fit": ("Fit a predictor, with its score by walk-forward.", "mm.catalog.signals:predict_fit"),
    "score": ("Score a fitted predictor on other days.", "mm.catalog.signals:predict_score"),
    "apply": ("Compute a predictor over recorded days, a Parquet file.", "mm.catalog.signals:predict_apply"),
    "show": ("Show a fitted predictor and its score.", "mm.catalog.signals:predict_show"),
}
_RL: Commands = {
    "train": ("Train an agent on recorded days with PPO.", "mm.catalog.learning:rl_train"),
    "evaluate": ("Run an agent against the baseline strategies.", "mm.catalog.learning:rl_evaluate"),
    "referee": ("Compare the trainer with a closed-form solution.", "mm.catalog.learning:rl_referee"),
}
_SHADOW: Commands = {
    "": ("Trade on paper in a live market, and record it.", "mm.catalog.trading:shadow"),
    "reconcile": (
        "Compare a shadow run with the replay of the day it recorded.",
        "mm.catalog.trading:shadow_reconcile",
    ),
}
_TRADE: Commands = {
    "": ("Trade symbols: simulated exchange, testnet or production.", "mm.catalog.trading:trade"),
    "flatten": ("Close positions, at a cost that is stated before.", "mm.catalog.trading:trade_flatten"),
    "cancel": ("Cancel open orders, also beside a hung or dead trader.", "mm.catalog.trading:trade_cancel"),
}
_RISK: Commands = {
    "status": ("Show the kill switch of a symbol.", "mm.catalog.operations:risk_status"),
    "kill": ("Trigger the kill switch of a symbol.", "mm.catalog.operations:risk_kill"),
    "rearm": ("Re-arm the kill switch of a symbol.", "mm.catalog.operations:risk_rearm"),
}
_AUDIT: Commands = {
    "verify": ("Verify the hash chains of audit logs.", "mm.catalog.operations:audit_verify"),
    "show": ("Show rows of an audit log.", "mm.catalog.operations:audit_show"),
    "ship": ("Copy new rows elsewhere, and send the last hashes.", "mm.catalog.operations:audit_ship"),
    "restore": ("Bring back logs from their copies.", "mm.catalog.operations:audit_restore"),
    "prune": ("Remove old logs that were shipped and verified.", "mm.catalog.operations:audit_prune"),
}
_TOKEN: Commands = {
    "add": ("Add a token to a file, and print it.", "mm.catalog.operations:token_add"),
    "revoke": ("Remove a token from a file.", "mm.catalog.operations:token_revoke"),
    "list": ("List the tokens of a file.", "mm.catalog.operations:token_list"),
}
_STATE: Commands = {
    "init": ("Create the tables of the state store.", "mm.catalog.operations:state_init"),
    "rebuild": ("Rebuild the state store from the audit logs.", "mm.catalog.operations:state_rebuild"),
    "show": ("Show positions, orders and fills of the state store.", "mm.catalog.operations:state_show"),
}
_CONFIG: Commands = {
    "show": ("Show the effective settings and their sources.", "mm.catalog.program:config_show"),
}
SECTIONS = {
    "Data": ("record", "data", "tapes", "sim"),
    "Calibration": ("calibrate", "schedule", "fit", "fills"),
    "Signals": ("signals", "predict"),
    "Reinforcement learning": ("rl",),
    "Backtests": ("models", "backtest", "evaluate", "walkforward", "sweep", "check"),
    "Results": ("report", "runs", "compare", "dashboard"),
    "Trading": ("shadow", "trade", "risk", "audit", "state", "watchdog", "latency", "token"),
    "The program": ("demo", "config", "completion", "bench"),
}
COMMANDS: Commands = {
    "record": ("Record one symbol until the window closes.", "mm.catalog.data:record"),
    "data": ("import, check, repair and export recorded days.", _DATA),
    "calibrate": ("Measure A and k of recorded days.", "mm.catalog.calibration:calibrate"),
    "fit": ("Fit A and k to your own points, a CSV file.", "mm.catalog.calibration:fit"),
    "tapes": ("List and prune the stored tapes.", _TAPES),
    "schedule": ("Fit A and k in rolling windows of recorded days.", "mm.catalog.calibration:schedule"),
    "backtest": ("Replay recorded days with a quote model and a fill model.", "mm.catalog.backtests:backtest"),
    "evaluate": ("Play a strategy on many days and symbols, on one page.", "mm.catalog.backtests:evaluate"),
    "walkforward": ("Fit rolling windows, and trade on the latest fit.", "mm.catalog.backtests:walkforward"),
    "sweep": (
        "Run a grid of backtests, rank them, and measure selection bias.",
        "mm.catalog.backtests:sweep",
    ),
    "fills": ("Score fill models, and fit their parameters.", _FILLS),
    "signals": ("List, compute and score signals of the order book and its flow.", _SIGNALS),
    "predict": ("Fit, score and apply predictors of moves, adverse moves and fills.", _PREDICT),
    "rl": ("Train agents, and compare them with strategies.", _RL),
    "models": ("List quote, fill, volatility and latency models.", "mm.catalog.backtests:models"),
    "config": ("Show the effective settings and their sources.", _CONFIG),
    "completion": ("Print the completion script of a shell.", "mm.catalog.program:completion"),
    "report": ("Draw the report of a run.", "mm.catalog.results:report"),
    "runs": ("List, show, tag, compare, export, explain and reproduce runs.", _RUNS),
    "check": ("Check a model for look-ahead (a day folder: mm data check).", _CHECK),
    "shadow": ("Trade on paper in a live market, and record it.", _SHADOW),
    "trade": ("Trade symbols: simulated exchange, testnet or production.", _TRADE),
    "dashboard": ("Show days, runs, calibrations and risk in a browser.", "mm.catalog.results:dashboard"),
    "compare": (
        "Compare replay, shadow and trade (backtests: mm runs compare).",
        "mm.catalog.results:compare",
    ),
    "risk": ("Read, trigger and re-arm the kill switch.", _RISK),
    "audit": ("Verify, show and keep audit logs.", _AUDIT),
    "state": ("Initialise, rebuild and show the state store.", _STATE),
    "watchdog": ("Watch traders by their files, for alerts that outlive them.", "mm.catalog.operations:watchdog"),
    "latency": ("Measure the latencies to a venue; no order is sent.", "mm.catalog.operations:latency"),
    "token": ("Add, revoke and list tokens for the pages that other machines read.", _TOKEN),
    "sim": ("Run simulated markets.", sim.COMMANDS),
    "demo": ("Make a synthetic day, calibrate and backtest it.", "mm.catalog.program:demo"),
    "bench": ("Measure the project's own speed, as ratios in one run.", "mm.bench:main"),
}

main = click.version_option(mm.__version__, prog_name="mm")(
    Program("mm", "Record, calibrate and backtest market making, from bytes to a result.", COMMANDS, SECTIONS)
)

if _EARLY:
    signal.signal(signal.SIGINT, _INTERRUPTED)
if __name__ == "__main__":
    main()
