"""What `saliency --help` costs beyond importing Click, in CPU time."""

import sys

from common import Row, finish, interleaved, saliency, spend, workshop

ROUNDS = 15
ROOM = 20.0


def measure() -> list[Row]:
    with workshop() as folder:
        a, b = interleaved(
            ROUNDS,
            lambda: spend(saliency("--help"), folder),
            lambda: spend([sys.executable, "-c", "import click"], folder),
        )
    ours, click = (1000 * min(spent.cpu for spent in taken) for taken in (a, b))
    measured = f"{ours - click:+.0f} ms ({ours:.0f} : {click:.0f})"
    return [
        Row(
            "`saliency --help` beyond `import click`, CPU",
            "+15 ms",
            measured,
            f"≤ +{ROOM:.0f} ms",
            ours - click <= ROOM,
        )
    ]


if __name__ == "__main__":
    finish(measure)
