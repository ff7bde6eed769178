"""What is computed from an utterance before a model sees it."""
