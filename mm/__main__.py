"""The ``mm`` program: every command of the project by name. Its help imports none of them."""

import os
import signal
import threading

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
    "import": ("Convert raw captures or third-party files to day folders.", "mm.commands.data:import_command"),
    "fetch": ("Fetch a published day of Binance.", "mm.commands.data:fetch_command"),
    "check": ("Validate a day folder.", "mm.commands.data:check_command"),
    "repair": ("Repair a damaged day folder from its raw messages.", "mm.commands.data:repair_command"),
    "export": ("Write a day folder as Parquet, or for hftbacktest.", "mm.commands.data:export_command"),
    "import-parquet": ("Write a day folder from its Parquet export.", "mm.commands.data:import_parquet_command"),
    "inspect": ("Summarise and draw a day.", "mm.commands.data:inspect_command"),
    "coverage": (
        "Report the coverage of day folders, and the spans excluded from backtests.",
        "mm.commands.data:coverage_command",
    ),
}
_RUNS: Commands = {
    "list": ("List the runs under OUT_ROOT.", "mm.commands.runs:list_command"),
    "show": ("Show one run.", "mm.commands.runs:show_command"),
    "log": ("Show the log of a run.", "mm.commands.runs:log_command"),
    "diff": ("Show the differences between two runs.", "mm.commands.runs:diff_command"),
    "compare": (
        "Draw the tear sheet of several backtests.",
        "mm.commands.runs:compare_command",
    ),
    "index": ("Write the page that lists all runs.", "mm.commands.runs:index_command"),
    "tag": ("Add tags and a note to a run.", "mm.commands.runs:tag_command"),
    "export": ("Write the numbers of all runs as one table.", "mm.commands.runs:export_command"),
    "reproduce": ("Replay a run and verify that its output is identical.", "mm.commands.reproduce:main"),
    "explain": ("Show the tape around a fill, and why it happened.", "mm.commands.explain:main"),
}
_TAPES: Commands = {
    "list": ("List the stored tapes, with their size and last use.", "mm.commands.tapes:list_command"),
    "prune": ("Remove stored tapes by age and total size.", "mm.commands.tapes:prune_command"),
}
_FILLS: Commands = {
    "score": ("Score the fill models on a day with a full order log.", "mm.commands.fills:score"),
    "fit": ("Estimate the exponent of queue_prob_power from a recorded day.", "mm.commands.fills:fit"),
    "hazard": ("Fit queue_hazard to a day with a full order log.", "mm.commands.fills:hazard"),
}
_CHECK: Commands = {
    "lookahead": ("Test whether a model or a signal looks ahead.", "mm.commands.check:lookahead"),
}
_SIGNALS: Commands = {
    "list": ("List the signals: names, units, formulas, sources.", "mm.commands.signals:list_command"),
    "compute": ("Compute signals over recorded days, a Parquet file.", "mm.commands.signals:compute_command"),
    "score": ("Score signals against the next move of the mid.", "mm.commands.signals:score_command"),
}
_PREDICT: Commands = {
    "fit": ("Fit a predictor, with its score by walk-forward.", "mm.commands.predict:fit_command"),
    "score": ("Score a fitted predictor on other days.", "mm.commands.predict:score_command"),
    "apply": ("Compute a predictor over recorded days, a Parquet file.", "mm.commands.predict:apply_command"),
    "show": ("Show a fitted predictor and its score.", "mm.commands.predict:show_command"),
}
_RL: Commands = {
    "train": ("Train an agent on recorded days with PPO.", "mm.commands.rl:train"),
    "evaluate": ("Run an agent against the baseline strategies.", "mm.commands.rl:evaluate"),
    "referee": ("Compare the trainer with a closed-form solution.", "mm.commands.rl:referee"),
}
_SHADOW: Commands = {
    "": ("Trade on paper in a live market, and record it.", "mm.commands.shadow:main"),
    "reconcile": ("Compare a shadow run with the replay of the day it recorded.", "mm.commands.shadow:reconcile"),
}
_TRADE: Commands = {
    "": ("Trade symbols: simulated exchange, testnet or production.", "mm.commands.trade:main"),
    "flatten": ("Close positions, at a cost that is stated before.", "mm.commands.trade:flatten"),
}
_RISK: Commands = {
    "status": ("Show the kill switch of a symbol.", "mm.commands.risk:status"),
    "kill": ("Trigger the kill switch of a symbol.", "mm.commands.risk:kill"),
    "rearm": ("Re-arm the kill switch of a symbol.", "mm.commands.risk:rearm"),
}
_AUDIT: Commands = {
    "verify": ("Verify the hash chains of audit logs.", "mm.commands.audit:verify"),
    "show": ("Show rows of an audit log.", "mm.commands.audit:show"),
    "ship": ("Copy new rows elsewhere, and send the last hashes.", "mm.commands.audit:ship"),
    "restore": ("Bring back logs from their copies.", "mm.commands.audit:restore"),
    "prune": ("Remove old logs that were shipped and verified.", "mm.commands.audit:prune"),
}
_TOKEN: Commands = {
    "add": ("Add a token to a file, and print it.", "mm.commands.token:add"),
    "revoke": ("Remove a token from a file.", "mm.commands.token:revoke"),
    "list": ("List the tokens of a file.", "mm.commands.token:list_tokens"),
}
_STATE: Commands = {
    "init": ("Create the tables of the state store.", "mm.commands.state:init"),
    "rebuild": ("Rebuild the state store from the audit logs.", "mm.commands.state:rebuild"),
    "show": ("Show positions, orders and fills of the state store.", "mm.commands.state:show"),
}
_CONFIG: Commands = {
    "show": ("Show the effective settings and their sources.", "mm.commands.program:show"),
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
    "record": ("Record one symbol until the window closes.", "mm.market_data.recorder:main"),
    "data": ("import, check, repair and export recorded days.", _DATA),
    "calibrate": ("Measure A and k of recorded days.", "mm.commands.calibrate:main"),
    "fit": ("Fit A and k to your own points, a CSV file.", "mm.commands.fit:main"),
    "tapes": ("List and prune the stored tapes.", _TAPES),
    "schedule": ("Fit A and k in rolling windows of recorded days.", "mm.commands.schedule:main"),
    "backtest": ("Replay recorded days with a quote model and a fill model.", "mm.commands.backtest:main"),
    "evaluate": ("Play a strategy on many days and symbols, on one page.", "mm.commands.evaluate:main"),
    "walkforward": ("Fit rolling windows, and trade on the latest fit.", "mm.commands.schedule:walkforward"),
    "sweep": (
        "Run a grid of backtests, rank them, and measure selection bias.",
        "mm.commands.sweep:main",
    ),
    "fills": ("Score fill models, and fit their parameters.", _FILLS),
    "signals": ("List, compute and score signals of the order book and its flow.", _SIGNALS),
    "predict": ("Fit, score and apply predictors of moves, adverse moves and fills.", _PREDICT),
    "rl": ("Train agents, and compare them with strategies.", _RL),
    "models": ("List quote, fill, volatility and latency models.", "mm.commands.models:main"),
    "config": ("Show the effective settings and their sources.", _CONFIG),
    "completion": ("Print the completion script of a shell.", "mm.commands.program:completion"),
    "report": ("Draw the report of a run.", "mm.commands.report:main"),
    "runs": ("List, show, tag, compare, export, explain and reproduce runs.", _RUNS),
    "check": ("Check a model for look-ahead (a day folder: mm data check).", _CHECK),
    "shadow": ("Trade on paper in a live market, and record it.", _SHADOW),
    "trade": ("Trade symbols: simulated exchange, testnet or production.", _TRADE),
    "dashboard": ("Show days, runs, calibrations and risk in a browser.", "mm.commands.dashboard:main"),
    "compare": (
        "Compare replay, shadow and trade (backtests: mm runs compare).",
        "mm.commands.compare:main",
    ),
    "risk": ("Read, trigger and re-arm the kill switch.", _RISK),
    "audit": ("Verify, show and keep audit logs.", _AUDIT),
    "state": ("Initialise, rebuild and show the state store.", _STATE),
    "watchdog": ("Watch traders by their files, for alerts that outlive them.", "mm.commands.watchdog:main"),
    "latency": ("Measure the latencies to a venue; no order is sent.", "mm.commands.latency:main"),
    "token": ("Add, revoke and list tokens for the pages that other machines read.", _TOKEN),
    "sim": ("Run simulated markets.", sim.COMMANDS),
    "demo": ("Make a synthetic day, calibrate and backtest it.", "mm.commands.demo:main"),
    "bench": ("Measure the project's own speed, as ratios in one run.", "mm.bench:main"),
}

main = click.version_option(mm.__version__, prog_name="mm")(
    Program("mm", "Record, calibrate and backtest market making, from bytes to a result.", COMMANDS, SECTIONS)
)

if _EARLY:
    signal.signal(signal.SIGINT, _INTERRUPTED)
if __name__ == "__main__":
    main()
