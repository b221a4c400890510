"""``python -m mm.runner_sweep``: the command ``mm sweep``."""

from mm.commands.sweep import sweep as main

if __name__ == "__main__":
    main()
