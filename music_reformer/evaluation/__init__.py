"""Evaluation of a model and of the music it generates. Start reading at `evaluate.py`.

Likelihood: `likelihood.py`, `summary.py`, `confidence.py`, `scored.py`, and the n-gram baseline `ngram.py`. Musical
statistics: `notes.py`, `musical.py`, `structure.py`. Copies from the training set: `originality.py`, `copies.py`.
Comparison with human music: `groups.py`, `compare.py`, `generated.py`. Output: `table.py`, `report.py`,
`report_plots.py`.
"""
