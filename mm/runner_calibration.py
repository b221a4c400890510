"""``python -m mm.runner_calibration``: the command ``mm calibrate``."""

from mm.commands.calibrate import main

if __name__ == "__main__":
    main()
