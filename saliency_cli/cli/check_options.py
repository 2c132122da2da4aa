"""The options of `check`: most stand for one field of `CheckRequest` and take its default there."""

from collections.abc import Callable
from typing import Any

import click

from saliency_cli.cli.model_options import MODEL_OPTIONS
from saliency_cli.cli.parameters import Choice, SectionOption

SECTIONS = ("Rules", "Baseline", "Reports", "Model", "Run", "Display")
REPORTS = ("junit", "markdown", "gitlab", "contact-sheet", "metrics")

# Fields of `CheckRequest`, whose room brings msgspec: help must not pay for that.
FIELDS = (
    "select", "fail_on", "update_baseline", "yes", "strict", "max_failures", "batch_size", "device", "threads",
    "custom_objects", "signature", "input_tensors", "output_tensors", "replace", "trust_model",
)  # fmt: skip

_FILE = click.Path(dir_okay=False)


def _option(section: str, *names: str, **attributes: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=SectionOption, section=section, **attributes)


def _flag(section: str, *names: str, **attributes: Any) -> Callable[[Any], Any]:
    return _option(section, *names, is_flag=True, **attributes)


_DECLARED = (
    click.argument("words", metavar="[POLICY.toml] [MODEL] [INPUT]...", nargs=-1, type=click.Path(),
                   help="The policy (saliency.toml), and a model and inputs that go before the policy's."),
    _option("Rules", "--select", "select", multiple=True, metavar="RULE", help="Judge this rule; repeat for more."),
    _option("Rules", "--fail-on", "fail_on", type=Choice(("error", "warning")), default="error",
            help="Whether a broken rule of severity warning fails the check too."),
    _flag("Rules", "--exit-zero", "exit_zero", help="Exit with 0 where rules are broken, and nothing else is wrong."),
    _flag("Baseline", "--update-baseline", "update_baseline",
          help="Judge nothing: write the policy's baseline folder from the model as it is."),
    _flag("Baseline", "--yes", "yes", help="Do so in continuous integration too, where it is refused otherwise."),
    _option("Reports", "--junit", "junit", type=_FILE, metavar="FILE", help="Write JUnit XML: a test case a rule."),
    _option("Reports", "--markdown", "markdown", type=_FILE, metavar="FILE",
            help="Write Markdown for a pull request."),
    _flag("Reports", "--github/--no-github", "github", default=None, show_default="if GITHUB_ACTIONS is true",
          help="Print annotations, and append to the step's summary."),
    _option("Reports", "--gitlab", "--gitlab-metrics", "gitlab", type=_FILE, metavar="FILE",
            help="Write a GitLab metrics report."),
    _option("Reports", "--contact-sheet", "contact_sheet", type=_FILE, metavar="FILE.png",
            help="Draw the worst inputs with their maps and the baseline's."),
    _option("Reports", "--metrics", "metrics", type=_FILE, metavar="FILE.json",
            help="Write numbers only, nested, as `dvc metrics diff` reads them."),
    *(_option("Model", *names, **attributes) for names, attributes in MODEL_OPTIONS),
    _flag("Run", "--strict", "strict", help="Count a map that can't be trusted as a failed input."),
    _option("Run", "--max-failures", "max_failures", type=click.IntRange(min=1), metavar="N",
            show_default="never", help="Stop after N failed inputs."),
    _option("Run", "--batch-size", "batch_size", type=click.IntRange(min=1), metavar="N",
            show_default="the policy's", help="Points computed at once; pins the batch shape."),
    _option("Run", "--device", "device", metavar="NAME", show_default="TensorFlow's choice",
            help="Where to compute: cpu, gpu, gpu:1."),
    _option("Run", "--threads", "threads", type=click.IntRange(min=1), metavar="N",
            show_default="all", help="Processor threads to use."),
    _flag("Display", "--json", "as_json", help="Print one JSON document."),
    _flag("Display", "-q", "--quiet", "quiet", help="Print broken rules and errors only."),
    _option("Display", "-v", "--verbose", "verbose", count=True, show_default=False,
            help="Say how each input was prepared and what was explained; -vv lets TensorFlow's own log through."),
    _flag("Display", "--debug", "debug", help="Print the whole traceback of an error."),
)  # fmt: skip


def check_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a callback with every argument and option, in the order of the help."""
    for declare in reversed(_DECLARED):
        function = declare(function)
    return function
