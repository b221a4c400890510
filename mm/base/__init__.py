"""What every layer stands on: numbers, files written whole, declarations of knobs and parameters, a user's code."""
