"""``python -m mm.runner_walkforward``: the command ``mm walkforward``."""

from mm.commands.walkforward import main

if __name__ == "__main__":
    main()
