"""Commands beside `compute` that ask something of every sample, one file each: see `runs/study.py`."""
