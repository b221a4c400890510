"""Does a model know what it cannot know? Other futures, played up to the instant at which they part."""
