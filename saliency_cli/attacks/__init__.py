"""One file an attack, NumPy only: see `saliency_cli/threat.py` for what it may ask and what it gives back."""
