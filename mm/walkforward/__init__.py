"""Calibrate on the past, trade the next slice, never peek."""

from mm.callable_package import make_callable

_CALL = "mm.walkforward.walkforward"
make_callable(__name__)
