"""Fault injection: a script of rules, and the injector that applies them."""
