"""Backtests: replay engine, paper exchange, fill and quote models, results."""

from mm.callable_package import make_callable

make_callable(__name__)
