"""Many backtests: over a grid of knobs, ranked, with the selection bias of the best one; or over many days."""

from mm.callable_package import make_callable

make_callable(__name__)
