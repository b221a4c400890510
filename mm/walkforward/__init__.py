"""Calibrates on the past and trades the next segment, without look-ahead."""

from mm.callable_package import make_callable

make_callable(__name__)
