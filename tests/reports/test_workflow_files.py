import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from saliency_cli.reports import workflows

POLICIES = ["saliency.toml", "ci/my policy.toml", 'ci/größe\'s "$HOME" #1: {x}.toml']
REPOSITORY = Path(__file__).parents[2]


def steps(text):
    """Return the shell lines of a GitHub workflow or a GitLab job."""
    document = yaml.safe_load(text)
    if "jobs" in document:
        return [step["run"] for step in document["jobs"]["check"]["steps"] if "run" in step]
    return document["saliency"]["script"]


def run(lines, folder, path):
    """Run the steps one after the other as a runner does, without installing anything."""
    script = "\n".join(["set -e", 'pip() { echo "pip $*" >> pip.log; }', *lines])
    environment = {"PATH": f"{path}:{os.environ['PATH']}", "HOME": str(folder)}
    return subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def stub(tmp_path):
    """A `saliency` that writes down its arguments, one a line."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "saliency"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > arguments.log\n')
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("make", [workflows.github, workflows.gitlab])
def test_the_steps_run_and_hand_the_policy_over_whole(make, policy, tmp_path, stub):
    done = run(steps(make(policy)), tmp_path, stub)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pip.log").read_text() == "pip install saliency-cli\n"
    expected = ["check", policy, "--junit", "saliency-report/junit.xml", "--markdown", "saliency-report/summary.md"]
    expected += ["--contact-sheet", "saliency-report/worst.png"]
    expected += ["--gitlab", "saliency-report/metrics.txt"] if make is workflows.gitlab else []
    assert (tmp_path / "arguments.log").read_text().splitlines() == expected


@pytest.mark.parametrize("policy", POLICIES)
def test_what_github_does_around_them(policy):
    document = yaml.safe_load(workflows.github(policy))
    job = document["jobs"]["check"]
    checkout, python, _, _, upload = job["steps"]
    assert checkout["uses"].startswith("actions/checkout@v")
    # The cache's key is made of a file that is there: without one the step fails.
    assert python["with"] == {"python-version": "3.12", "cache": "pip", "cache-dependency-path": policy}
    assert upload["if"] == "always()"
    assert upload["with"]["path"] == "saliency-report/"
    assert document["permissions"] == {"contents": "read"}
    assert set(document[True]) == {"pull_request", "push"}  # YAML 1.1 reads the key `on` so


@pytest.mark.parametrize("policy", POLICIES)
def test_what_gitlab_does_around_them(policy):
    job = yaml.safe_load(workflows.gitlab(policy))["saliency"]
    assert job["artifacts"] == {
        "when": "always",
        "paths": ["saliency-report/"],
        "reports": {"junit": "saliency-report/junit.xml", "metrics": "saliency-report/metrics.txt"},
    }
    (cached,) = job["cache"]["paths"]
    assert job["variables"]["PIP_CACHE_DIR"] == f"$CI_PROJECT_DIR/{cached}"


def test_they_are_short():
    assert all(len(make().splitlines()) <= 32 for make in (workflows.github, workflows.gitlab))


def told_by_check():
    """Return the help of `saliency check`, or skip where there is no such command."""
    command = [sys.executable, "-m", "saliency_cli", "check", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    if "No such command" in done.stderr:
        pytest.skip("`saliency check` is not there yet")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("make", [workflows.github, workflows.gitlab])
def test_the_command_knows_every_option(make):
    told = told_by_check()
    (line,) = [line for line in steps(make()) if line.startswith("saliency")]
    for option in (word for word in shlex.split(line) if word.startswith("--")):
        assert option in re.split(r"[\s,/]+", told), option


@pytest.mark.slow
@pytest.mark.parametrize("make", [workflows.github, workflows.gitlab])
def test_the_steps_run_with_the_real_command(make, tmp_path):
    told_by_check()
    shutil.copy(REPOSITORY / "sample_models" / "shapes.keras", tmp_path / "model.keras")
    (tmp_path / "images").mkdir()
    for picture in (REPOSITORY / "sample_images").glob("shapes_*.png"):
        shutil.copy(picture, tmp_path / "images")
    (tmp_path / "saliency.toml").write_text(
        'version = 1\nprofile = "custom"\nmodel = "model.keras"\ninputs = ["images/*.png"]\nmin-inputs = 1\n'
        '[compute]\nmethod = "gradient"\n'
        '[[rule]]\nid = "not-flat"\nmetric = "gini"\nagg = "min"\nmin = 0.01\n'
    )
    done = run(steps(make()), tmp_path, Path(sys.executable).parent)
    assert done.returncode == 0, done.stdout + done.stderr
    written = {path.name for path in (tmp_path / "saliency-report").iterdir()}
    wanted = {"junit.xml", "summary.md", "worst.png"} | ({"metrics.txt"} if make is workflows.gitlab else set())
    assert written >= wanted
