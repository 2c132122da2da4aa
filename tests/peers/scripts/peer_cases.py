"""What every script of a peer shares: `python SCRIPT given.npz found.npz` runs its cases, each by itself.

A case is a function of the given arrays that returns arrays by name; one that fails leaves its traceback instead.
"""

import sys
import traceback
from importlib.metadata import version

import numpy as np


def run(package, cases):
    given = dict(np.load(sys.argv[1]))
    found = {"version": np.array(version(package))}
    for case in cases:
        try:
            found |= {f"{case.__name__}/{name}": np.asarray(array) for name, array in case(given).items()}
        except Exception:
            found[f"{case.__name__}/error"] = np.array(traceback.format_exc())
    np.savez(sys.argv[2], **found)
