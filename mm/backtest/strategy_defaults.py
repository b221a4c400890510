"""The defaults of the strategy that a run plays when nothing else is said; docs/models.md says how they were chosen."""

SKEW_SHARE = 0.1  # of the half-spread: what one clip of inventory moves the reservation price by, where gamma is auto
BOUND_CLIPS = 30.0  # of inventory, either way from the target
