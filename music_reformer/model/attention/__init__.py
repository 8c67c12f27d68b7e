"""Attention: exactly causal LSH, sliding windows, and the caches they decode from."""
