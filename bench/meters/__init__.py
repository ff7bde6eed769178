"""Latency, memory and size, measured apart from training."""
