"""What goes wrong on purpose: a script of faults, and the player that lets them happen."""
