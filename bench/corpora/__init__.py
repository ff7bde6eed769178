"""Readers of emotional speech corpora, one file each."""
