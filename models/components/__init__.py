"""Options of the slots, one slot a file."""
