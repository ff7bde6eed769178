"""Variants, their components and the systems they belong to."""
