"""`saliency` with an odd stand-in behind it: `ODD_DELAY` seconds a batch, `ODD_DEADLY` where white pictures kill."""

import os
import sys
from functools import partial

from odd import open_odd

from saliency_cli.cli import entry
from saliency_cli.runs import compute as module

if __name__ == "__main__":
    odd = partial(open_odd, delay=float(os.environ.get("ODD_DELAY", "0")), deadly="ODD_DEADLY" in os.environ)
    module.compute = partial(module.compute, open_engine=odd)
    sys.exit(entry.main())
