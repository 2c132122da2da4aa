"""The weights of a TensorFlow.js layers-model put into the variables they belong to, by name, none left over.

A weight is called after the layers around it, but every writer leaves others out: `dense/kernel`,
`lstm/lstm_cell/kernel`, `bidirectional/forward_lstm/kernel`, `rnn/RNNCell_0/kernel`,
`sequential/lstm/lstm_cell/kernel`; of nested models often nothing is left but the innermost layer. A
weight goes to the variable of its kind and shape of whose layers it names most. Where two are equal, or
one is without the other, that is an error: no variable keeps what it was born with.
"""

from collections.abc import Mapping

from saliency_cli.differentiable import Array
from saliency_cli.errors import ModelError
from saliency_cli.models.tfjs.building import Slot

# What a variable of Keras 3 was called before.
_OLDER = {"depthwise_kernel": "kernel"}


def assign(slots: list[Slot], weights: Mapping[str, Array]) -> None:
    """Give every variable its weight. Raises `ModelError` naming a weight or a variable that is left over."""
    left = dict.fromkeys(range(len(slots)))
    places = {name: _candidates(name, array, slots) for name, array in weights.items() if not _of_no_use(name)}
    found: dict[int, str] = {}
    while places:
        settled = [(name, slot) for name, slot in _settled(places).items() if slot in left]
        if not settled:
            raise _unplaced(next(iter(places)), weights, slots, taken=found)
        for name, slot in settled:
            if slot not in left:
                raise _twice(name, found[slot], slots[slot])
            del left[slot], places[name]
            found[slot] = name
        for candidates in places.values():
            for slot in list(candidates):
                if slot not in left:
                    del candidates[slot]
    if left:
        raise _unfilled(slots[next(iter(left))], weights)
    for slot, name in found.items():
        slots[slot].variable.assign(weights[name].astype(slots[slot].variable.dtype))


def _of_no_use(name: str) -> bool:
    """Whether a weight is the state of a random generator or of an optimizer, kept by some converters."""
    parts = name.split("/")
    return any("seed_generator" in part for part in parts) or parts[0] in ("optimizer", "training")


def _settled(places: Mapping[str, dict[int, tuple[int, int]]]) -> dict[str, int]:
    """Return the weights whose best place is better than all their others."""
    settled = {}
    for name, candidates in places.items():
        best = max(candidates.values(), default=None)
        slots = [slot for slot, score in candidates.items() if score == best]
        if len(slots) == 1:
            settled[name] = slots[0]
    return settled


def _candidates(name: str, array: Array, slots: list[Slot]) -> dict[int, tuple[int, int]]:
    """Return the variables a weight could be of, and how well each one's layers are named by it."""
    parts = name.partition(":")[0].split("/")
    for i, slot in enumerate(slots):
        if slot.stored == name:
            return {i: (0, 0)} if tuple(slot.variable.shape) == array.shape else {}
    scores = {}
    for i, slot in enumerate(slots):
        if parts[-1] not in (slot.kind, *(old for old, new in _OLDER.items() if new == slot.kind)):
            continue
        score = _score(parts[:-1], slot) if tuple(slot.variable.shape) == array.shape else None
        if score is not None:
            scores[i] = score
    return scores


def _score(parts: list[str], slot: Slot) -> tuple[int, int] | None:
    """Return (parts of the name explained, −layers left out), None if no layer of the variable is named."""
    position = explained = left_out = 0
    named = False
    for layer in slot.around:
        end = _end_of(parts, position, layer.alternatives)
        if end is None:
            left_out += 1
            continue
        position = end[0]
        explained += end[1]
        named = named or not layer.model
    return (explained, -left_out) if named else None


def _end_of(parts: list[str], start: int, alternatives: tuple[str, ...]) -> tuple[int, int] | None:
    """Find a layer's name (which may hold slashes) among the parts; return where it ends and its length."""
    for written in alternatives:
        wanted = written.split("/")
        for i in range(start, len(parts) - len(wanted) + 1):
            if parts[i : i + len(wanted)] == wanted:
                return i + len(wanted), len(wanted)
    return None


def _unplaced(name: str, weights: Mapping[str, Array], slots: list[Slot], taken: Mapping[int, str]) -> ModelError:
    shape = tuple(weights[name].shape)
    kinds = [slot for slot in slots if _score(name.partition(":")[0].split("/")[:-1], slot) is not None]
    same = [slot for slot in kinds if tuple(slot.variable.shape) == shape]
    what = f"the weight '{name}' of shape {shape}"
    if len(same) > 1:
        message = f"{what} fits {len(same)} variables, and its name doesn't tell which"
    elif kinds:
        shapes = ", ".join(f"{slot.kind} {tuple(slot.variable.shape)}" for slot in kinds)
        message = f"{what} has no place: its layer has {shapes}"
    else:
        message = f"{what} belongs to no layer of the model"
    return _error(message + (f" ({len(taken)} others were placed)" if taken else ""))


def _twice(name: str, other: str, slot: Slot) -> ModelError:
    return _error(f"the weights '{name}' and '{other}' are both for '{slot.variable.path}'")


def _unfilled(slot: Slot, weights: Mapping[str, Array]) -> ModelError:
    layer = "/".join(named.alternatives[0] for named in slot.around)
    return _error(
        f"there is no weight for the {slot.kind} {tuple(slot.variable.shape)} of the layer '{layer}' "
        f"among the {len(weights)} of the file"
    )


def _error(message: str) -> ModelError:
    return ModelError(
        message,
        hint="were topology and weights written together? convert the original model again",
        reason="weights-mismatch",
    )
