"""Corpora: what is known of them, where their files come from, and which split each is in."""
