"""``python -m mm.runner_calibrate_schedule``: the command ``mm schedule``."""

from mm.commands.schedule import schedule as main

if __name__ == "__main__":
    main()
