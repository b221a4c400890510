"""``python -m mm.runner_walkforward``: the command ``mm walkforward``."""

from mm.commands.schedule import walkforward as main

if __name__ == "__main__":
    main()
