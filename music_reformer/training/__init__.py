"""Training with Lightning; start at `run.py`. The only importer of pytorch_lightning."""
