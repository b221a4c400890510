"""Names of models to models: registries, plugins, nested quotes, fits; and a backtest of them as one call."""
