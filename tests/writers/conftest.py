import sys
from pathlib import Path

# The tests of writers draw the same views as the tests of rendering.
sys.path.insert(0, str(Path(__file__).parents[1] / "rendering"))
