"""Calibrate on the past, trade the next slice, never peek."""

from mm.callable_package import make_callable

make_callable(__name__)
