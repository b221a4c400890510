"""``python -m mm.runner_calibration``: the command ``mm calibrate``."""

from mm.commands.calibrate import calibrate as main

if __name__ == "__main__":
    main()
