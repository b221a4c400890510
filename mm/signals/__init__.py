"""Signals: numbers that are known at each change of the book; one declaration and one compiled kernel each."""

from mm.signals.compute import compute, live
from mm.signals.micro_price import fit_micro_price

__all__ = ["compute", "fit_micro_price", "live"]
