"""The project's own measurements: ratios of one run, fresh processes taking turns."""
