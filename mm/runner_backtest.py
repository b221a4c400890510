"""``python -m mm.runner_backtest``: the command ``mm backtest``."""

from mm.catalog.backtests import backtest as main

if __name__ == "__main__":
    main()
