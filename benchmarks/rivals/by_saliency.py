"""Our side: the engine of a run, its packer and its methods; from samples to maps."""

import sys
from pathlib import Path

from answering import BATCH, DRAWS, POINTS, answer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine import opened, solver

engine = opened(Path(sys.argv[1]), BATCH)
pictures = {"gradient": int(sys.argv[2]), "smoothgrad": int(sys.argv[3]), "integrated-gradients": int(sys.argv[3])}
options = {"smoothgrad": {"draws": str(DRAWS)}, "integrated-gradients": {"points": str(POINTS)}}
answer({name: solver(engine, name, count, **options.get(name, {})) for name, count in pictures.items()})
