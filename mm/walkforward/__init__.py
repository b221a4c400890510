"""Walk-forward: calibration on past data and trading of the next segment, without look-ahead."""

from mm.callable_package import make_callable

make_callable(__name__)
