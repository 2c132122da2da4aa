"""Why a map can't be trusted: errors that end a sample, flags that stay on its record."""

import numpy as np

from saliency_cli.differentiable import Arrays, Explanation
from saliency_cli.errors import InputError

# Flag → what the user is told, once a run.
MEANINGS = {
    "all-zero": "the map is zero everywhere: no value of the input changes the target (dead units, such as ReLUs "
    "that are all off, or an input the target ignores)",
    "all-negative": "the map is zero everywhere, since relu cut off all of it: at every place of the layer more "
    "speaks against the target than for it (-p relu=false shows it)",
    "saturated": "the map is zero or nearly so because the head is saturated; --space logit looks behind the "
    "softmax or sigmoid",
    "constant": "every value of the map is the same: the target is linear in the input with equal weights, or the "
    "map says nothing about where",
    "top-class-changed": "more than half of the noisy copies have another top class than the input: the map is "
    "about another class too; lower the noise (-p noise=0.05)",
    "no-noise": "the input is constant, so SmoothGrad's noise, a share of its range, is zero",
    "completeness-gap": "the attributions do not sum to the change of the target from the baseline within a "
    "quarter of it: more points (-p points=200) bring the sum closer, the map itself may hardly change",
    "baseline-is-input": "the baseline equals the input, so every attribution is zero: choose another "
    "(-p baseline=white)",
    "stochastic": "layers of the model draw random numbers in inference, so another run gives another map",
    "preparing-guessed": "nothing in the model tells how its pictures were scaled, and [0, 1] was assumed; say it "
    "with --preprocess",
    "shares-gap": "the attributions do not add up to what they share out within a quarter of it: biases and ε keep "
    "their share (-p biases=false leaves biases out), or large changes cancel (see the gap in the record)",
    "unpatched-activations": "the model has other activations beside its ReLUs, and only the ReLUs are guided",
    "outside-box": "some values of the input lie outside what the box rule takes for lowest and highest: say which "
    "they are (-p low=min -p high=max)",
    "no-loss-gradient": "the loss has no gradient where the attack looked, so nothing was tried: dead units, or a "
    "quantised or saturated model",
    "not-raised": "the target is no higher in what was made than at the start: other steps (--learning-rate, "
    "--steps), less --tv, --blur or --jitter, or another start",
    "flat": "the second derivative is exactly zero: the model is linear around the input, as ReLUs and max pooling "
    "are almost everywhere; --smooth-relu 10 gives the ReLUs a curve",
    "linear": "the second derivative is exactly zero: the target is linear in the input, or the model is dead there",
    "eigenvalues-unsettled": "the top eigenvalues had not settled after the products they may take: more --steps",
    "below-zero": "the map is a mean of the target over masks, and below zero nearly everywhere, so that what "
    "matters most is drawn weakest: -p form=difference, or --space probability",
    "disconnected": "the target does not depend on one of the inputs, which has no map",
}

_SATURATED = 1e-5


def _is_saturated(space: str, probability: float | None) -> bool:
    """Whether a gradient is next to nothing because of the head: ∂p is p(1 − p), and ∂ log p is 1 − p."""
    if probability is None:
        return False
    if space in ("probability", "loss"):
        return min(probability, 1 - probability) < _SATURATED
    return space == "log-probability" and 1 - probability < _SATURATED


def require_finite_values(value: float) -> None:
    """Raise `InputError` if the target itself is NaN or infinite."""
    if not np.isfinite(value):
        raise InputError(
            f"the model's output for this input is {value}: an attribution of it means nothing",
            hint="check the input's scale (--preprocess) and the model's weights",
            reason="non-finite-output",
        )


def require_finite_map(method: str, values: Arrays) -> None:
    """Raise `InputError` if an attribution holds NaN or infinity."""
    for name, array in values.items():
        bad = int(np.size(array) - np.count_nonzero(np.isfinite(array)))
        if bad:
            raise InputError(
                f"{method} gave {bad} of {array.size} values NaN or infinite for the input '{name}'",
                hint="a square root or a division at 0 in the model, or an overflow: check the scale (--preprocess)",
                reason="non-finite-gradient",
            )


def flags_of(explanation: Explanation, space: str, probability: float | None) -> list[str]:
    """Return the flags of a finite attribution: the method's own, and those its values show."""
    flags = list(explanation.flags)
    arrays = list(explanation.values.values())
    if "all-negative" in flags:
        pass
    elif not any(np.any(array) for array in arrays):
        flags.append("saturated" if _is_saturated(space, probability) else "all-zero")
    elif space != "loss" and _is_saturated(space, probability):
        flags.append("saturated")
    elif all(array.size > 1 and np.ptp(array) == 0 for array in arrays):
        flags.append("constant")
    return [flag for i, flag in enumerate(flags) if flag not in flags[:i]]
