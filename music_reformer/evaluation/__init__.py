"""How good a model is: `likelihood.py` measures what it gives to pieces it has not seen."""
