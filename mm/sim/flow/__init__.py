"""Order flow with known truth: the scenarios of ``mm sim day`` and of the live server."""
