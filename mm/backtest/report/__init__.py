"""A run to look at: its page, and its numbers in words."""
