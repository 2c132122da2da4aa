"""A policy as a test of somebody's suite."""

from pathlib import Path

import pytest
from run_tools import pictures

from saliency_cli.errors import InputError, ModelError, UsageError
from saliency_cli.testing import assert_policy

POLICY = """
version = 1
profile = 'custom'
model = 'picture.keras'
inputs = ['images']
[[rule]]
id = 'r'
metric = 'grad-l2'
max = 0.3
"""


@pytest.fixture(autouse=True)
def policy():
    """Lay out a policy that is kept."""
    pictures("images", 8)
    Path("saliency.toml").write_text(POLICY)


def test_a_kept_policy_is_silent(capfd):
    assert_policy("saliency.toml")
    assert capfd.readouterr() == ("", "")


def test_a_broken_rule_is_shown():
    with pytest.raises(AssertionError) as caught:
        assert_policy(Path("saliency.toml"), model="louder.keras")
    lines = str(caught.value).splitlines()
    assert lines[0] == "saliency.toml is not kept:"
    assert lines[1].startswith("FAIL  r")


def test_what_is_no_answer_is_raised_as_it_is():
    with pytest.raises(ModelError):
        assert_policy(model="nowhere.keras")
    with pytest.raises(UsageError, match="no policy"):
        assert_policy("none.toml")
    Path("images/bad.png").write_text("no picture")
    with pytest.raises(InputError, match="images/bad"):
        assert_policy()
    Path("images/bad.png").unlink()
    Path("saliency.toml").write_text(POLICY + "min-inputs = 100\n")
    with pytest.raises(UsageError, match="too few"):
        assert_policy()
