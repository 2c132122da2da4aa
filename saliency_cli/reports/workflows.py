"""The workflow files of `saliency init --github` and `--gitlab`: a check on every change."""

import json
import shlex

_FOLDER = "saliency-report"

# `cache-dependency-path`: without it the cache asks for a requirements.txt and fails where there is none.
_GITHUB = """\
# Do the maps of this model still look as they should? Written by `saliency init --github`.
name: saliency
on:
  pull_request:
  push:
    branches: [main]
permissions:
  contents: read
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v6
      - uses: actions/setup-python@v6
        with:
          python-version: "3.12"
          cache: pip
          cache-dependency-path: {quoted}
      - run: pip install saliency-cli
      - run: >-
{run}
      - uses: actions/upload-artifact@v6
        if: always()
        with:
          name: {folder}
          path: {folder}/
"""

_GITLAB = """\
# Do the maps of this model still look as they should? Written by `saliency init --gitlab`.
saliency:
  image: python:3.12
  variables:
    PIP_CACHE_DIR: $CI_PROJECT_DIR/.cache/pip
  cache:
    key: saliency-pip
    paths: [.cache/pip]
  script:
    - pip install saliency-cli
    - >-
{run}
  artifacts:
    when: always
    paths: [{folder}/]
    reports:
      junit: {folder}/junit.xml
      metrics: {folder}/metrics.txt
"""


def github(policy_path: str = "saliency.toml") -> str:
    """Return the text of `.github/workflows/saliency.yml`."""
    # JSON's strings are YAML's, and a policy's path may hold anything.
    quoted = json.dumps(policy_path, ensure_ascii=False)
    return _GITHUB.format(quoted=quoted, run=_command(policy_path, indent=10), folder=_FOLDER)


def gitlab(policy_path: str = "saliency.toml") -> str:
    """Return a job for `.gitlab-ci.yml`."""
    return _GITLAB.format(run=_command(policy_path, ("gitlab", "metrics.txt"), indent=6), folder=_FOLDER)


def _command(policy_path: str, *more: tuple[str, str], indent: int) -> str:
    """Return the check, an option a line: YAML folds the lines into one."""
    files = [("junit", "junit.xml"), ("markdown", "summary.md"), ("contact-sheet", "worst.png"), *more]
    options = [f"--{option} {_FOLDER}/{name}" for option, name in files]
    return "\n".join(" " * indent + line for line in [f"saliency check {shlex.quote(policy_path)}", *options])
