"""What every layer stands on: numbers, files written whole, knobs and parameters, a user's code."""
