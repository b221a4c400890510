"""Predictors: models of what the market does next, fitted on recorded days, computed by kernels over plain arrays."""
