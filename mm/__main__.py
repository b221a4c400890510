"""The ``mm`` program: every command of the project by name. Its help imports none of them."""

import click

import mm
from mm import sim
from mm.cli.frame import Commands, Program

_DATA: Commands = {
    "import": ("Turn raw captured streams into day folders.", "mm.runner_data:import_command"),
    "check": ("Validate a day folder.", "mm.runner_data:check_command"),
    "repair": ("Mend a damaged day folder from its raw messages.", "mm.runner_data:repair_command"),
    "export": ("Write a day folder as Parquet.", "mm.runner_export:export_command"),
    "import-parquet": ("Write the day folder that was exported as Parquet.", "mm.runner_export:import_command"),
    "coverage": ("Tell what day folders cover, and what a backtest leaves out.", "mm.runner_data:coverage_command"),
}
_RUNS: Commands = {
    "list": ("List the runs under OUT_ROOT.", "mm.runner_runs:list_command"),
    "show": ("Show one run.", "mm.runner_runs:show_command"),
    "log": ("Show the log of a run.", "mm.runner_runs:log_command"),
    "diff": ("Name what tells two runs apart.", "mm.runner_diff:main"),
    "reproduce": ("Play a run again, and prove that the same bytes come out.", "mm.runner_reproduce:main"),
    "explain": ("Show the tape around a fill, and why it happened.", "mm.runner_explain:main"),
}
_FILLS: Commands = {
    "score": ("Hold the fill models against a day of which every order is known.", "mm.runner_fills:score"),
    "fit": ("Estimate the exponent of queue_prob_power from a recorded day.", "mm.runner_fills:fit"),
}
_CHECK: Commands = {
    "lookahead": ("Find out whether a model peeks.", "mm.runner_check:lookahead"),
}
COMMANDS: Commands = {
    "record": ("Record one symbol until the window closes.", "mm.market_data.recorder:main"),
    "data": ("Import, check, mend and export recorded days.", _DATA),
    "calibrate": ("Measure A and k of one day.", "mm.runner_calibration:main"),
    "fit": ("Fit A and k to a table of points.", "mm.runner_fit:main"),
    "schedule": ("Fit A and k in rolling windows.", "mm.runner_calibrate_schedule:main"),
    "backtest": ("Play recorded days against a quote model and a fill model.", "mm.runner_backtest:main"),
    "walkforward": ("Schedule, then one continuous backtest with it.", "mm.runner_walkforward:main"),
    "sweep": ("Play a grid of backtests, and tell how much of the best is luck.", "mm.runner_sweep:main"),
    "fills": ("Which fill model is right, and the exponent of its queue.", _FILLS),
    "report": ("Draw the report of a run.", "mm.runner_report:main"),
    "runs": ("Look at run folders.", _RUNS),
    "check": ("Hold a model against what it cannot know.", _CHECK),
    "sim": ("Make markets to practise on.", sim.COMMANDS),
    "bench": ("Measure the project's own speed, as ratios in one run.", "mm.bench:main"),
}

main = click.version_option(mm.__version__, prog_name="mm")(
    Program("mm", "Record, calibrate and backtest market making, from bytes to a result.", COMMANDS)
)

if __name__ == "__main__":
    main()
