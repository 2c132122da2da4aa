"""What the documents say is what the tool does."""

import importlib.util
from pathlib import Path

import pytest

from saliency_cli import errors
from saliency_cli.runs.diagnosis import MEANINGS
from saliency_cli.runs.settings import METHODS

ROOT = Path(__file__).resolve().parents[1]


def pages():
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PAGES


@pytest.mark.parametrize("name", ["attacks.md", "command-line.md", "methods.md", "metrics.md"])
def test_generated_pages_are_up_to_date(name):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pages()[name](), "run `make docs`"


def test_every_flag_is_in_the_guide():
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    assert [flag for flag in MEANINGS if f"| `{flag}` |" not in guide] == []


def test_the_readme_names_every_method_and_exit_code():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [
        name for name in METHODS.names() if name.partition("-squared")[0] not in readme and name != "vargrad"
    ] == []
    kinds = (errors.UsageError, errors.InputError, errors.ModelError, errors.OutputError, errors.SaliencyError)
    for code in (0, 1, *(kind.exit_code for kind in kinds), 130, 141):
        assert f"\n| {code}" in readme


def test_links_between_documents_lead_somewhere():
    import re

    for page in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_version_is_one():
    import tomllib

    import saliency_cli

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == saliency_cli.__version__
