"""Many backtests: over a grid of knobs, ranked with the best one's selection bias; or over many days."""

from mm.callable_package import make_callable

make_callable(__name__)
