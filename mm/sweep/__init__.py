"""Many backtests over a grid of knobs and parameters, ranked, and told how much of the best one is luck."""
