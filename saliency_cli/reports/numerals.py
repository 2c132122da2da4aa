"""Numbers as people read them: three significant digits, more only where two would look the same."""

import math

NOTHING = "—"
_MOST_DIGITS = 17


def number(value: float | None, digits: int = 3) -> str:
    """Return `0.931`, `4.91`, `1234`, `1.20e-05`, `nan`, `inf`, or a dash where there is no value."""
    if value is None:
        return NOTHING
    if not math.isfinite(value) or value == 0:
        return f"{value:.0f}" if value == 0 else str(float(value))
    rounded = f"{value:.{digits - 1}e}"
    exponent = int(rounded.partition("e")[2])
    if not -4 <= exponent < 6:
        return rounded
    # The digits before the point are all shown: 1234 inputs are not 1230.
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def apart(first: float | None, second: float | None) -> tuple[str, str]:
    """Return both numbers with as many digits as it takes to tell them apart.

    `0.8499 >= 0.85` must not be printed as a broken `0.850 >= 0.850`.
    """
    if first is None or second is None or first == second:
        return number(first), number(second)
    for digits in range(3, _MOST_DIGITS + 1):
        texts = number(first, digits), number(second, digits)
        if texts[0] != texts[1]:
            break
    return texts


def signed(value: float | None) -> str:
    """Return a number with its sign, `+1.38`."""
    return number(value) if value is None or not value > 0 else f"+{number(value)}"


def percent(share: float | None) -> str:
    """Return a relative change, `+39.1%`."""
    return number(share) if share is None else f"{signed(100 * share)}%"


def interval(bounds: tuple[float, float] | None) -> str:
    """Return `[4.61, 5.20]`, or a dash where there is no interval."""
    return NOTHING if bounds is None else f"[{', '.join(apart(*bounds))}]"
