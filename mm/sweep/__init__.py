"""Many backtests over a grid of knobs and parameters, ranked, and told how much of the best one is luck."""

from mm.callable_package import make_callable

make_callable(__name__)
