"""`saliency attacks`: how `perturb` may search, in a line each or with everything about one."""

import click

from saliency_cli.cli.perturb import AttackName, attack_registry
from saliency_cli.cli.plugins import tell


@click.command()
@click.argument(
    "name", type=AttackName(), required=False, metavar="[NAME]", help="An attack, to be told all about it."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def attacks(name: str | None, *, as_json: bool) -> None:
    """List the attacks of `perturb`, or tell all about one."""
    tell(attack_registry(), (name,) if name else (), "-p KEY=VALUE", as_json=as_json)
