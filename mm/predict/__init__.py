"""Predictors of the market, fitted on recorded days and evaluated by kernels over plain arrays."""
