"""Intervals and tests over crossed speakers and seeds."""
