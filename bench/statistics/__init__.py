"""Differences between variants over crossed speakers and seeds, with intervals around them."""
