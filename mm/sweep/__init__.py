"""Backtests over a grid of knobs and parameters, ranked, with the selection bias of the best one."""

from mm.base.callable_package import make_callable

make_callable(__name__)
