"""``python -m mm.runner_calibration``: the command ``mm calibrate``."""

from mm.catalog.calibration import calibrate as main

if __name__ == "__main__":
    main()
