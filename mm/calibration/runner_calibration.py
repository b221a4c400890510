"""``python -m mm.calibration.runner_calibration``: the same command as ``mm calibrate``."""

from mm.commands.calibrate import main

if __name__ == "__main__":
    main()
