"""From corpora to token stores, and from token stores to training batches."""
