"""Studies: what is asked, which trials answer it, and how they run."""
