"""Signals: numbers that are known at each change of the book; one declaration and one compiled kernel each."""

from mm.signals.compute import compute, live

__all__ = ["compute", "live"]
