"""Contracts, corpora, features, folds, training, trials, meters, metrics, statistics and the store."""
