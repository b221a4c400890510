"""Every command by name: its line in the help, and where it is. It imports none of them."""

from collections.abc import Mapping

# Text of a line of ``mm --help``, and "module:function" or the commands below it; an empty name is the group's own.
Commands = Mapping[str, tuple[str, "str | Commands"]]

_DATA: Commands = {
    "import": ("Convert raw captures or third-party files to day folders.", "mm.commands.data:data_import"),
    "sample": ("Fetch a recorded market to begin with.", "mm.commands.sample:data_sample"),
    "fetch": ("Fetch a published day of Binance.", "mm.commands.data:data_fetch"),
    "check": ("Validate a day folder.", "mm.commands.data:data_check"),
    "hold": ("Hold days out of all plays and fits, until they are opened.", "mm.commands.data:data_hold"),
    "repair": ("Repair a damaged day folder from its raw messages.", "mm.commands.data:data_repair"),
    "export": ("Write a day folder as Parquet, or for hftbacktest.", "mm.commands.data:data_export"),
    "import-parquet": ("Write a day folder from its Parquet export.", "mm.commands.data:data_import_parquet"),
    "inspect": ("Summarise and draw a day.", "mm.commands.data:data_inspect"),
    "coverage": (
        "Report the coverage of day folders, and the spans excluded from backtests.",
        "mm.commands.data:data_coverage",
    ),
}
_RUNS: Commands = {
    "list": ("List the runs under OUT_ROOT.", "mm.commands.runs:runs_list"),
    "trials": ("List what was tried on recorded days.", "mm.commands.runs:runs_trials"),
    "show": ("Show one run.", "mm.commands.runs:runs_show"),
    "log": ("Show the log of a run.", "mm.commands.runs:runs_log"),
    "diff": ("Show the differences between two runs.", "mm.commands.runs:runs_diff"),
    "compare": (
        "Draw the tear sheet of several backtests.",
        "mm.commands.runs:runs_compare",
    ),
    "tag": ("Add tags and a note to a run.", "mm.commands.runs:runs_tag"),
    "export": ("Write the numbers of all runs as one table.", "mm.commands.runs:runs_export"),
    "reproduce": ("Replay a run and verify that its output is identical.", "mm.commands.reproduce:runs_reproduce"),
    "explain": ("Show the tape around a fill, and why it happened.", "mm.commands.explain:runs_explain"),
}
_TAPES: Commands = {
    "list": ("List the stored tapes, with their size and last use.", "mm.commands.tapes:tapes_list"),
    "prune": ("Remove stored tapes by age and total size.", "mm.commands.tapes:tapes_prune"),
}
_FILLS: Commands = {
    "score": ("Score the fill models on a day with a full order log.", "mm.commands.fills:fills_score"),
    "bounds": ("Count the true fills between the bounds of a queue.", "mm.commands.fills:fills_bounds"),
    "fit": ("Estimate the exponent of queue_prob_power from a recorded day.", "mm.commands.fills:fills_fit"),
}
_CHECK: Commands = {
    "lookahead": ("Test whether a model or a signal looks ahead.", "mm.commands.check:check_lookahead"),
}
_SIGNALS: Commands = {
    "list": ("List the signals: names, units, formulas, sources.", "mm.commands.signals:signals_list"),
    "compute": ("Compute signals over recorded days, a Parquet file.", "mm.commands.signals:signals_compute"),
    "score": ("Score signals against the next move of the mid.", "mm.commands.signals:signals_score"),
}
_PREDICT: Commands = {
    "fit": ("Fit a predictor, with its score by walk-forward.", "mm.commands.predict:predict_fit"),
    "score": ("Score a fitted predictor on other days.", "mm.commands.predict:predict_score"),
    "apply": ("Compute a predictor over recorded days, a Parquet file.", "mm.commands.predict:predict_apply"),
    "show": ("Show a fitted predictor and its score.", "mm.commands.predict:predict_show"),
}
_RL: Commands = {
    "train": ("Train an agent on recorded days with PPO.", "mm.commands.rl:rl_train"),
    "evaluate": ("Run an agent against the baseline strategies.", "mm.commands.rl:rl_evaluate"),
    "referee": ("Compare the trainer with a closed-form solution.", "mm.commands.rl:rl_referee"),
}
_SHADOW: Commands = {
    "": ("Trade on paper in a live market, and record it.", "mm.commands.shadow:shadow"),
    "reconcile": (
        "Compare a shadow run with the replay of the day it recorded.",
        "mm.commands.shadow:shadow_reconcile",
    ),
}
_TRADE: Commands = {
    "": ("Trade symbols: simulated exchange, testnet or production.", "mm.commands.trade:trade"),
    "flatten": ("Close positions, at a cost that is stated before.", "mm.commands.trade:trade_flatten"),
    "cancel": ("Cancel open orders, also beside a hung or dead trader.", "mm.commands.cancel:trade_cancel"),
}
_RISK: Commands = {
    "status": ("Show the kill switch of a symbol.", "mm.commands.risk:risk_status"),
    "kill": ("Trigger the kill switch of a symbol.", "mm.commands.risk:risk_kill"),
    "rearm": ("Re-arm the kill switch of a symbol.", "mm.commands.risk:risk_rearm"),
}
_AUDIT: Commands = {
    "verify": ("Verify the hash chains of audit logs.", "mm.commands.audit:audit_verify"),
    "show": ("Show rows of an audit log.", "mm.commands.audit:audit_show"),
    "ship": ("Copy new rows elsewhere, and send the last hashes.", "mm.commands.audit:audit_ship"),
    "restore": ("Bring back logs from their copies.", "mm.commands.audit:audit_restore"),
    "prune": ("Remove old logs that were shipped and verified.", "mm.commands.audit:audit_prune"),
}
_TOKEN: Commands = {
    "add": ("Add a token to a file, and print it.", "mm.commands.token:token_add"),
    "revoke": ("Remove a token from a file.", "mm.commands.token:token_revoke"),
    "list": ("List the tokens of a file.", "mm.commands.token:token_list"),
}
_STATE: Commands = {
    "init": ("Create the tables of the state store.", "mm.commands.state:state_init"),
    "rebuild": ("Rebuild the state store from the audit logs.", "mm.commands.state:state_rebuild"),
    "show": ("Show positions, orders and fills of the state store.", "mm.commands.state:state_show"),
}
_CONFIG: Commands = {
    "show": ("Show the effective settings and their sources.", "mm.commands.program:config_show"),
}
SIM: Commands = {
    "day": ("Make a seeded synthetic day with known truth.", "mm.sim.__main__:sim_day"),
    "serve": ("Serve a simulated exchange over REST and WebSocket.", "mm.sim.__main__:sim_serve"),
    "api": ("Serve a simulated exchange for trading clients of any asset class.", "mm.api.command:sim_api"),
    "as2008": (
        "Print the tables of Avellaneda and Stoikov (2008), exact and simulated.",
        "mm.sim.__main__:sim_as2008",
    ),
}
SECTIONS = {
    "Data": ("record", "data", "tapes", "sim"),
    "Calibration": ("calibrate", "schedule", "fit", "fills"),
    "Signals": ("signals", "predict"),
    "Reinforcement learning": ("rl",),
    "Backtests": ("models", "backtest", "evaluate", "walkforward", "sweep", "check"),
    "Results": ("report", "runs", "compare", "dashboard"),
    "Trading": ("shadow", "trade", "risk", "audit", "state", "watchdog", "latency", "token"),
    "The program": ("demo", "docs", "config", "completion", "bench"),
}
COMMANDS: Commands = {
    "record": ("Record one symbol until the window closes.", "mm.commands.record:record"),
    "data": ("import, check, repair and export recorded days.", _DATA),
    "calibrate": ("Measure A and k of recorded days.", "mm.commands.calibrate:calibrate"),
    "fit": ("Fit A and k to your own points, a CSV file.", "mm.commands.fit:fit"),
    "tapes": ("List and prune the stored tapes.", _TAPES),
    "schedule": ("Fit A and k in rolling windows of recorded days.", "mm.commands.schedule:schedule"),
    "backtest": ("Replay recorded days with a quote model and a fill model.", "mm.commands.backtest:backtest"),
    "evaluate": ("Play a strategy on many days and symbols, on one page.", "mm.commands.evaluate:evaluate"),
    "walkforward": ("Fit rolling windows, and trade on the latest fit.", "mm.commands.schedule:walkforward"),
    "sweep": (
        "Run a grid of backtests, rank them, and measure selection bias.",
        "mm.commands.sweep:sweep",
    ),
    "fills": ("Score fill models, and fit their parameters.", _FILLS),
    "signals": ("List, compute and score signals of the order book and its flow.", _SIGNALS),
    "predict": ("Fit, score and apply predictors of moves, adverse moves and fills.", _PREDICT),
    "rl": ("Train agents, and compare them with strategies.", _RL),
    "models": ("List quote, fill, volatility and latency models.", "mm.commands.models:models"),
    "config": ("Show the effective settings and their sources.", _CONFIG),
    "completion": ("Print the completion script of a shell.", "mm.commands.program:completion"),
    "report": ("Draw the report of a run.", "mm.commands.report:report"),
    "runs": ("List, show, tag, compare, export, explain and reproduce runs.", _RUNS),
    "check": ("Check a model for look-ahead (a day folder: mm data check).", _CHECK),
    "shadow": ("Trade on paper in a live market, and record it.", _SHADOW),
    "trade": ("Trade symbols: simulated exchange, testnet or production.", _TRADE),
    "dashboard": ("Show days, runs, calibrations and risk in a browser.", "mm.commands.dashboard:dashboard"),
    "compare": (
        "Compare replay, shadow and trade (backtests: mm runs compare).",
        "mm.commands.compare:compare",
    ),
    "risk": ("Read, trigger and re-arm the kill switch.", _RISK),
    "audit": ("Verify, show and keep audit logs.", _AUDIT),
    "state": ("Initialise, rebuild and show the state store.", _STATE),
    "watchdog": ("Watch traders by their files, for alerts that outlive them.", "mm.commands.watchdog:watchdog"),
    "latency": ("Measure the latencies to a venue; no order is sent.", "mm.commands.latency:latency"),
    "token": ("Add, revoke and list tokens for the pages that other machines read.", _TOKEN),
    "sim": ("Run simulated markets.", SIM),
    "demo": ("Make a synthetic day, calibrate and backtest it.", "mm.commands.demo:demo"),
    "docs": ("Show what the documentation says of a term.", "mm.commands.docs:docs"),
    "bench": ("Measure the project's own speed, as ratios in one run.", "mm.bench:main"),
}
