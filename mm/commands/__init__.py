"""The commands: one module each, and what makes models, rules and tapes of their knobs."""
