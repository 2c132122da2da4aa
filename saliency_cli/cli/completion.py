"""`saliency completion`: the script that teaches a shell to complete."""

import click

from saliency_cli.cli.parameters import Choice

SHELLS = ("bash", "zsh", "fish", "powershell")


@click.command(
    epilog="""\b
Install:
  bash        saliency completion bash > ~/.local/share/bash-completion/completions/saliency
  zsh         saliency completion zsh > a folder of $fpath, named _saliency
  fish        saliency completion fish > ~/.config/fish/completions/saliency.fish
  powershell  saliency completion powershell >> $PROFILE"""
)
@click.argument("shell", type=Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from saliency_cli.cli.entry import COMPLETION, PROGRAM
    from saliency_cli.cli.group import saliency

    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"this version of Click has no completion for {shell}")
    click.echo(script(saliency, {}, PROGRAM, COMPLETION).source())
