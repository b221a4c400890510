"""A day folder becomes a tape."""
