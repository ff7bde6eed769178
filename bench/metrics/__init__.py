"""Measures of recognition: categorical, continuous, and calibration, each with its range."""
