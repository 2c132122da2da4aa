"""`docs/check.md` tells every key, and its example is a policy."""

import re
from pathlib import Path

import msgspec
import pytest

from saliency_cli.cli.check_options import REPORTS
from saliency_cli.runs.check.policy import Compute, Policy, Rule
from saliency_cli.runs.check.profiles import PROFILES
from saliency_cli.runs.check.reading import parse_policy
from saliency_cli.runs.check.tables import OWN

GUIDE = (Path(__file__).parents[2] / "docs" / "check.md").read_text()
KEYS = [field.encode_name for kind in (Policy, Compute, Rule) for field in msgspec.structs.fields(kind)]


@pytest.mark.parametrize("key", sorted({*KEYS} - OWN - {"rule", "compute"}))
def test_every_key_is_in_a_table(key):
    cells = [line.split("|")[1] for line in GUIDE.splitlines() if line.startswith("| ")]
    assert any(f"`{key}`" in cell for cell in cells)


def test_every_report_and_profile_is_told():
    assert [name for name in REPORTS if f"`--{name} FILE`" not in GUIDE] == []
    assert [name for name in PROFILES if f"| `{name}` |" not in GUIDE] == []


def test_the_example_is_a_policy():
    (example,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    policy = parse_policy(example, Path("saliency.toml"))
    assert len(policy.rules) == 8
