"""`python -m saliency_cli`: the same as `saliency`."""

import sys

from saliency_cli.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
