"""Trust is typed on the command line and nowhere else."""

import click

from saliency_cli.cli.entry import PROGRAM
from saliency_cli.cli.group import saliency


def commands(group, context):
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield command
        if isinstance(command, click.Group):
            yield from commands(command, context)


def test_no_option_is_read_from_the_environment():
    """Click would read `SALIENCY_COMPUTE_TRUST_MODEL` by itself if it were given a prefix."""
    assert "auto_envvar_prefix" not in saliency.context_settings
    with saliency.make_context(PROGRAM, ["methods"]) as context:
        assert context.auto_envvar_prefix is None
        seen = 0
        for command in commands(saliency, context):
            assert "auto_envvar_prefix" not in command.context_settings
            for option in command.params:
                seen += 1
                assert option.envvar is None, f"{command.name} {option.name}"
                assert option.value_from_envvar(context) is None
    assert seen > 10


def test_trust_has_one_long_name_and_no_default():
    with saliency.make_context(PROGRAM, ["methods"]) as context:
        for command in commands(saliency, context):
            for option in command.params:
                if "trust" in (option.name or ""):
                    assert option.opts == ["--trust-model"]
                    assert option.is_flag
                    assert option.get_default(context) in (None, False)
