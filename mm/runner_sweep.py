"""``python -m mm.runner_sweep``: the command ``mm sweep``."""

from mm.catalog.backtests import sweep as main

if __name__ == "__main__":
    main()
