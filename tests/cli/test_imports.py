"""What a start costs: nothing heavier than Click before there is work."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import saliency_cli
from saliency_cli.cli.group import COMMANDS, saliency

HEAVY = {"numpy", "PIL", "tensorflow", "keras", "h5py", "matplotlib", "rich", "msgspec", "asyncio"}

LIGHT_COMMANDS = [
    (0, ["--help"]),
    (0, ["--version"]),
    (0, ["methods"]),
    (0, ["methods", "--json"]),
    (0, ["metrics"]),
    (2, ["evaluate", "model.keras", "x.png", "--metric", "no-such-metric"]),
    (2, ["compare", "a.keras", "b.keras"]),
    (0, ["completion", "bash"]),
    (2, ["no-such-command"]),
    (2, ["compute", "--no-such-option"]),
    (2, ["compute", "model.keras"]),
    (2, ["compute", "model.keras", "x.png", "--resize", "ft"]),
    (2, ["compute", "model.keras", "x.png", "--method", "no-such-method"]),
    *((0, [command, "--help"]) for command in COMMANDS),
]

DUMP = """
import sys
from saliency_cli.cli.entry import run
code = run(sys.argv[1:])
print("\\nMODULES", code, *sys.modules)
"""


def modules_after(arguments, expected=0, **environment):
    done = subprocess.run(
        [sys.executable, "-c", DUMP, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    code, *modules = done.stdout.rpartition("MODULES")[2].split()
    assert int(code) == expected, done.stderr
    return set(modules)


@pytest.mark.parametrize(
    ("code", "arguments"), LIGHT_COMMANDS, ids=[" ".join(arguments) for _, arguments in LIGHT_COMMANDS]
)
def test_a_light_command_imports_nothing_heavy(code, arguments):
    assert not HEAVY & modules_after(arguments, code)


@pytest.mark.parametrize(
    "words", ["saliency comp", "saliency compute m.keras --method g", "saliency compute --format "]
)
def test_shell_completion_imports_nothing_heavy(words):
    count = str(len(words.split(" ")) - 1)
    assert not HEAVY & modules_after([], _SALIENCY_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=count)


def test_group_help_imports_no_command():
    loaded = modules_after(["--help"])
    assert not {target.partition(":")[0] for target, _ in COMMANDS.values()} & loaded


def test_help_costs_at_most_20_ms_more_than_click():
    """Minima of interleaved runs: other work on the machine only ever adds."""

    def cpu(*arguments):
        process = os.posix_spawn(
            sys.executable,
            [sys.executable, *arguments],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
        )
        _, status, usage = os.wait4(process, 0)
        assert status == 0
        return usage.ru_utime + usage.ru_stime

    click, own = zip(
        *((cpu("-c", "import click"), cpu("-m", "saliency_cli", "--help")) for _ in range(12)), strict=True
    )
    assert min(own) <= min(click) + 0.020


def test_the_version_is_the_project_s():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert saliency_cli.__version__ == project["version"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name):
    command = saliency.get_command(None, name)
    assert command.name == name
    assert command.help.partition("\n")[0] == COMMANDS[name][1]
