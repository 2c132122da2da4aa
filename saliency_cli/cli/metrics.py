"""`saliency metrics`: what can be measured, in a line each or with everything about one."""

import click

from saliency_cli.cli.parameters import MetricTexts, metric_registry
from saliency_cli.cli.plugins import tell

_NEEDS = {
    "map": "the map",
    "classes": "an output of classes",
    "probabilities": "a softmax or sigmoid at the end",
    "limits": "a valid range (pictures: 0 to 255)",
    "mask": "--masks",
    "reference": "a second map (--against MODEL, compare, or a baseline)",
    "reference-attribution": "a second model's whole map (--against MODEL, or compare)",
    "depth": "weights that can be drawn anew",
}


@click.command()
@click.argument(
    "name", type=MetricTexts(), required=False, metavar="[NAME]", help="A metric, to be told all about it."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def metrics(name: str | None, *, as_json: bool) -> None:
    """List what can be measured, or tell all about one metric."""
    tell(metric_registry(), [name] if name else (), "--metric NAME:KEY=VALUE,…", as_json=as_json, facts=_facts)


def _facts(name: str) -> dict[str, str]:
    """Return what a metric says of its values, its options left at their defaults."""
    metric = metric_registry().build(name, {})
    return {
        "better": metric.better,
        "range": f"{metric.lowest:g} to {metric.highest:g}",
        "unit": metric.unit or "none",
        "needs": ", ".join(_NEEDS[need] for need in sorted(metric.needs)) or "nothing",
        "cost": metric.cost,
    }
