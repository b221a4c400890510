"""Recorder side: capture, synchronise, write and check the recorded day. Needs no compiler and no numpy."""
