"""The rooms: what may import what, and what every plug-in declares."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import saliency_cli

PACKAGE = Path(saliency_cli.__file__).parent
PLUGINS = [
    path
    for room in ("methods", "readers", "writers")
    for path in sorted((PACKAGE / room).glob("*.py"))
    if path.name != "__init__.py"
]
by_file = pytest.mark.parametrize("path", PLUGINS, ids=[f"{path.parent.name}/{path.name}" for path in PLUGINS])


def test_the_contracts_are_kept():
    """`lint-imports`: data flows one way; TensorFlow, Keras, Click and rich stay in their rooms."""
    pytest.importorskip("importlinter")
    code = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout


def test_every_room_is_under_contract():
    contracts = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rooms = {f"saliency_cli.{path.stem}" for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    rooms -= {"saliency_cli.__init__", "saliency_cli.__pycache__", "saliency_cli.py.typed"}
    layers = {name.strip() for layer in contracts[0]["layers"] for name in layer.replace(":", "|").split("|")}
    assert rooms == layers
    tensorflow, terminal = ({*contract["source_modules"]} for contract in contracts[1:3])
    may = {"saliency_cli.models", "saliency_cli.autodiff", "saliency_cli.callbacks"}
    assert rooms - tensorflow - may <= {"saliency_cli.__main__"}
    assert rooms - terminal <= {"saliency_cli.__main__", "saliency_cli.cli"}


@pytest.mark.parametrize(
    ("names", "rooms"),
    [({"tensorflow", "keras"}, {"models", "autodiff", "callbacks.py"}), ({"click", "rich"}, {"cli"})],
)
def test_imports_inside_functions_keep_to_the_rooms_too(names, rooms):
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in rooms:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not names & {name.partition(".")[0] for name in found}, path


@by_file
def test_a_plugin_has_one_public_name_and_a_short_first_line(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (public,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert len(public) == 1
    assert public[0] in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    assert 10 < len(summary) < 100
    assert summary.endswith(".")


def test_every_module_says_what_it_is():
    for path in PACKAGE.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path
