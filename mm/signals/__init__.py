"""Signals: values at each change of the book, each with a declaration and a compiled kernel."""

from mm.signals.compute import compute, live
from mm.signals.micro_price import fit_micro_price

__all__ = ["compute", "fit_micro_price", "live"]
