"""`saliency` with the stand-in behind it: starts in a third of a second."""

import sys
from functools import partial

from stand_in import open_stand_in

from saliency_cli.cli import entry
from saliency_cli.runs import compute as module

module.compute = partial(module.compute, open_engine=open_stand_in)

if __name__ == "__main__":
    sys.exit(entry.main())
