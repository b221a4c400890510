"""Replay side: the tape of a day, the engine that plays it, fill and quote models, results."""
