"""Contracts, corpora, features, folds, training, meters, metrics, statistics and the store."""
