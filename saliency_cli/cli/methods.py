"""`saliency methods`: the attribution methods, in a line each or with everything about one."""

import click

from saliency_cli.cli.parameters import MethodNames, method_registry
from saliency_cli.cli.plugins import tell


@click.command()
@click.argument(
    "name", type=MethodNames(), required=False, metavar="[NAME]", help="A method, to be told all about it."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def methods(name: tuple[str, ...] | None, *, as_json: bool) -> None:
    """List the attribution methods, or tell all about one."""
    tell(method_registry(), name or (), "-p KEY=VALUE", as_json=as_json)
