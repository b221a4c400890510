"""The engine: its kernels, and the faces that give them a tape or live events."""
