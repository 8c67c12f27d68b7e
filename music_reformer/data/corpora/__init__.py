"""Corpora: their manifests, downloading and unpacking them, and their splits."""
