"""Faults on purpose: a script of rules, and the injector that applies them."""
