"""The systems of the registry, one file each."""
