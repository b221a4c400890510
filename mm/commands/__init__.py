"""The commands, one module each, and the functions that make models, rules and tapes from their knobs."""
