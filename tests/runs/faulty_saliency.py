"""`saliency` with real models, in which the faults strike that its environment names."""

import sys
from functools import partial

from faulty import open_faulty

from saliency_cli.cli import entry
from saliency_cli.runs import compute as module

module.compute = partial(module.compute, open_engine=open_faulty)

if __name__ == "__main__":
    sys.exit(entry.main())
