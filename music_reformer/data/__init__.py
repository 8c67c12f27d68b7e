"""Corpora to token stores, and token stores to batches."""
