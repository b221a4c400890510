"""Replay side: the tape of a day, the engine that plays it, fill and quote models, results."""

from mm.callable_package import make_callable

make_callable(__name__)
