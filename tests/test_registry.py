"""Plug-ins by file name: listed without importing, built from text, one file enough to add one."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from click.testing import CliRunner

import saliency_cli.methods
from saliency_cli.differentiable import Sample, solve
from saliency_cli.errors import UsageError
from saliency_cli.registry import Registry

ONE_FILE = '''
"""Absolute gradient: how strongly each value acts, whichever way.

Definition
    φ = |∂s/∂x|.

When it misleads
    As the gradient does.

Source
    Simonyan et al. 2013, arXiv:1312.6034.

Differs from
    The gradient, which keeps its sign.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Attributing, Explanation, Reduce, Sample

__all__ = ["AbsoluteGradient"]

PRESETS = {"tripled-gradient": ("Three times the absolute gradient.", {"factor": 3.0})}


@dataclass(frozen=True)
class AbsoluteGradient:
    """φ = |∂s/∂x|, times a factor."""

    factor: Annotated[float, Meta(gt=0, description="what the map is multiplied by")] = 1.0

    reduce: ClassVar[Reduce] = "max"
    unit: ClassVar[str] = "target per unit of input"
    signed: ClassVar[bool] = False

    def attribute(self, sample: Sample) -> Attributing:
        answer = yield sample.itself()
        return Explanation({n: np.asarray(self.factor * np.abs(g), np.float32) for n, g in answer.gradients.items()})
'''


@pytest.fixture
def one_more_file(tmp_path, monkeypatch):
    """A folder with one new method, as good as inside `saliency_cli/methods`."""
    (tmp_path / "absolute_gradient.py").write_text(ONE_FILE, encoding="utf-8")
    monkeypatch.setattr(saliency_cli.methods, "__path__", [*saliency_cli.methods.__path__, str(tmp_path)])
    yield Registry("saliency_cli.methods", "method")
    sys.modules.pop("saliency_cli.methods.absolute_gradient", None)
    vars(saliency_cli.methods).pop("absolute_gradient", None)


def test_one_file_adds_a_method(one_more_file):
    names = one_more_file.names()
    assert {"absolute-gradient", "tripled-gradient", "gradient"} <= set(names)
    assert list(names) == sorted(names)
    assert "saliency_cli.methods.absolute_gradient" not in sys.modules
    assert one_more_file.summary("absolute-gradient").startswith("Absolute gradient: how strongly")
    assert one_more_file.summary("tripled-gradient") == "Three times the absolute gradient."
    assert "φ = |∂s/∂x|." in one_more_file.story("tripled-gradient")
    assert "saliency_cli.methods.absolute_gradient" not in sys.modules
    x = np.float32([-3, 2])
    sample = Sample({"x": x}, ("x",), lambda kind: {})
    found = solve(one_more_file.build("tripled-gradient", {}), lambda a: (0.0, {"x": 2 * a["x"]}), sample)
    np.testing.assert_array_equal(found.values["x"], [18, 12])
    assert one_more_file.build("absolute-gradient", {"factor": "2.5"}).factor == 2.5
    with pytest.raises(UsageError, match="factor=0"):
        one_more_file.build("absolute-gradient", {"factor": "0"})


def test_one_file_shows_in_the_command(one_more_file):
    from saliency_cli.cli.methods import methods

    names = {entry["name"]: entry for entry in json.loads(CliRunner().invoke(methods, ["--json"]).stdout)}
    assert names["absolute-gradient"]["summary"].startswith("Absolute gradient")
    page = CliRunner().invoke(methods, ["absolute-gradient"]).stdout
    assert "what the map is multiplied by" in page
    assert "> 0" in page


def test_names_and_summaries_need_no_numpy():
    code = """
    import sys
    from saliency_cli.registry import Registry
    for package, kind in (("methods", "method"), ("readers", "reader"), ("writers", "writer")):
        registry = Registry(f"saliency_cli.{package}", kind)
        if package == "methods":
            assert "vargrad" in registry.names() and all(map(registry.summary, registry.names()))
            assert "numpy" not in sys.modules and "msgspec" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_an_unknown_name_is_told_with_those_there_are():
    registry = Registry("saliency_cli.methods", "method")
    with pytest.raises(UsageError, match="no method is called 'xyzzy'") as caught:
        registry.load("xyzzy")
    assert caught.value.hint == f"there are: {', '.join(registry.names())}"
    assert caught.value.reason == "unknown-method"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ""),
        ({"points": "7"}, ""),
        ({"points": 7, "rule": "left"}, ""),
        ({"points": "7.5"}, "points=7.5"),
        ({"points": "many"}, "points=many"),
        ({"points": "1"}, "points=1: expected int >= 2"),
        ({"rule": "Simpson"}, "rule=Simpson"),
        ({"steps": "7"}, "integrated-gradients has no option 'steps' (its options: points, rule, baseline)"),
        ({"points": "1", "steps": "7"}, "points=1: expected int >= 2; integrated-gradients has no option 'steps'"),
    ],
)
def test_settings_are_read_and_every_mistake_told(settings, expected):
    registry = Registry("saliency_cli.methods", "method")
    if not expected:
        built = registry.build("integrated-gradients", settings)
        assert built.points == int(settings.get("points", 50))
    else:
        with pytest.raises(UsageError) as caught:
            registry.build("integrated-gradients", settings)
        assert expected in caught.value.message
        assert caught.value.hint == "saliency methods integrated-gradients"
