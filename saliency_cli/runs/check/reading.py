"""`saliency.toml` → `Policy`: its keys known, its values of the right kind, its rules the profile's and its own.

What keys mean together is `sense.py`'s business.
"""

import re
import tomllib
from pathlib import Path

import msgspec

from saliency_cli.errors import UsageError
from saliency_cli.runs.check.mistakes import Mistakes
from saliency_cli.runs.check.policy import Compute, Policy, Profile, Rule
from saliency_cli.runs.check.profiles import PROFILES
from saliency_cli.runs.check.sense import make_sense
from saliency_cli.runs.check.tables import convert, convert_rule, take


def read_policy(path: Path) -> Policy:
    """Read a policy. Raises `UsageError` naming every mistake by its line; never another error for its content."""
    return parse_policy(_text(path), path)


def parse_policy(text: str, path: Path) -> Policy:
    """Return the policy a text is, as if it stood at `path`. Raises as `read_policy` does."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(*_no_toml(path, error), reason="bad-policy") from None
    mistakes = Mistakes(path, text)
    rules = take(tables, "rule", list, mistakes)
    compute = take(tables, "compute", dict, mistakes)
    policy = convert(Policy, tables, (), "the policy", mistakes)
    computing = convert(Compute, compute or {}, ("compute",), "[compute]", mistakes)
    own = [convert_rule(table, place, mistakes) for place, table in enumerate(rules or [])]
    if policy is None or computing is None:
        mistakes.settle()
    assert policy is not None
    assert computing is not None
    if policy.version != 1:
        mistakes.add(("version",), f"version {policy.version} was expected to be 1", "version = 1")
        mistakes.settle()
    whole = msgspec.structs.replace(
        policy,
        path=path,
        compute=_filled(computing, policy.profile),
        rules=_with_profile([rule for rule in own if rule is not None], policy.profile, mistakes),
    )
    whole = make_sense(whole, mistakes)
    mistakes.settle()
    return whole


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(
            f"there is no policy '{path}'",
            hint="saliency init MODEL INPUTS… writes one, with limits from the model as it is",
            reason="no-policy",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the policy '{path}' can't be read as UTF-8 text: {error}", reason="bad-policy") from None


def _no_toml(path: Path, error: tomllib.TOMLDecodeError) -> tuple[str, ...]:
    """Return the message for a text that is no TOML, its place in front as compilers have it."""
    text = str(error)
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", text)
    place = f":{found[1]}:{found[2]}" if found and found[1] else ""
    what = text[: found.start()] if found else text
    where = "" if place else ", at its end"
    return (f"{path}{place}: this is no TOML{where}: {what[:1].lower()}{what[1:]}",)


def _filled(compute: Compute, profile: Profile) -> Compute:
    """Return `[compute]` with the profile's method where it names none."""
    if compute.method is not None:
        return compute
    calibrated = PROFILES[profile]
    return msgspec.structs.replace(
        compute, method=calibrated.method, options={**calibrated.options, **compute.options}
    )


def _with_profile(own: list[Rule], profile: Profile, mistakes: Mistakes) -> tuple[Rule, ...]:
    """Return the profile's rules, those of the same id replaced by the policy's, and the policy's others."""
    by_id = {rule.id: rule for rule in own}
    line = mistakes.lines.of("profile")
    first = [
        by_id.get(rule.id) or msgspec.structs.replace(rule, line=line, of_profile=True)
        for rule in PROFILES[profile].rules
    ]
    taken = {id(rule) for rule in first}
    return (*first, *(rule for rule in own if id(rule) not in taken))
