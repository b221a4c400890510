"""The engine: compiled kernels, and the classes that feed them a tape or live events."""
