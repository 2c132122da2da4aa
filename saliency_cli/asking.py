"""Values of many points, asked for in chunks, so that memory does not grow with their number."""

from collections.abc import Callable, Generator

import numpy as np

from saliency_cli.differentiable import VALUES, Answer, Array, Arrays, Ask, Point
from saliency_cli.errors import InputError

CHUNK = 64  # points an ask: several batches, so that the device is seldom idle, and never much memory


def ask_values(n: int, point: Point, take: Callable[[int, Array], None]) -> Generator[Ask, Answer, None]:
    """Ask for the target at `n` points, forward passes only; `take(start, values)` gets each chunk.

    Raises:
        InputError: a value is not finite.
    """
    for start in range(0, n, CHUNK):
        count = min(CHUNK, n - start)

        def shifted(i: int, out: Arrays, start: int = start) -> None:
            point(start + i, out)

        answer = yield Ask(count, shifted, np.zeros(count), trace=VALUES)
        bad = answer.values[~np.isfinite(answer.values)]
        if bad.size:
            raise InputError(
                f"the model's output is {bad[0]} where part of the input is hidden",
                hint="another baseline (-p baseline=mean), or check the model's weights",
                reason="non-finite-output",
            )
        take(start, answer.values)
