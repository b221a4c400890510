"""Probes of models and data: look-ahead, queue positions and hazards against the truth of an order log."""
