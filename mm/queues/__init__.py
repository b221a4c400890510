"""Fill models held against orders whose place in the queue is known; it may import all that it measures."""
