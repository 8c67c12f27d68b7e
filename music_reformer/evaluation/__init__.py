"""How good a model is, and how good its music: start at `evaluate.py`.

Likelihood: `likelihood.py`, `summary.py`, `confidence.py`, `scored.py`, and `ngram.py`, a yardstick. Music: `notes.py`,
`musical.py`, `structure.py`; copies: `originality.py`, `copies.py`; both against people's: `groups.py`, `compare.py`,
`generated.py`. What is shown: `table.py`, `report.py`, `plots.py`.
"""
