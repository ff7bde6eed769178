"""Frames, figures, tables and the page, all read from a finished run."""
