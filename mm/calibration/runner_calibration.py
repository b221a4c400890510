"""``python -m mm.calibration.runner_calibration`` is ``mm calibrate``."""

from mm.commands.calibrate import calibrate as main

if __name__ == "__main__":
    main()
