"""The project's own measurements: ratios within one run, with alternating fresh processes."""
