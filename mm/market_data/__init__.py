"""Records markets: capture, synchronise, write and check a day. Needs no compiler and no numpy."""
