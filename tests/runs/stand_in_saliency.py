"""`saliency` with the stand-in behind it: starts in a third of a second.

`STAND_IN_PART_ROWS` in the environment ends the parts of a sharded run after so many rows.
"""

import os
import sys
from functools import partial

from stand_in import open_stand_in

from saliency_cli.cli import entry
from saliency_cli.runs import compute as module
from saliency_cli.runs import sharded_parts

sharded_parts.PART_ROWS = int(os.environ.get("STAND_IN_PART_ROWS", sharded_parts.PART_ROWS))
module.compute = partial(module.compute, open_engine=open_stand_in)

if __name__ == "__main__":
    sys.exit(entry.main())
