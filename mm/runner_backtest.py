"""``python -m mm.runner_backtest``: the command ``mm backtest``."""

from mm.commands.backtest import backtest as main

if __name__ == "__main__":
    main()
