"""A comparison of two models, as rows for a terminal and as Markdown for a pull request."""

from collections.abc import Sequence
from pathlib import PurePath

from saliency_cli.records import ComparedRecord, CompareRecord
from saliency_cli.reports.contact_sheet import Tile, sheet
from saliency_cli.reports.markdown import code, escape, table
from saliency_cli.reports.numerals import NOTHING, number
from saliency_cli.reports.wording import counted


def rows(record: CompareRecord) -> list[tuple[str, ...]]:
    """Return a row for each metric: label, median, 5th and 95th percentile, mean, inputs that have a value."""
    found: list[tuple[str, ...]] = []
    for label in record.measured:
        statistic = record.metrics.get(label)
        if statistic is None:
            found.append((label, NOTHING, NOTHING, NOTHING, NOTHING, "0"))
        else:
            numbers = (statistic.median, statistic.p05, statistic.p95, statistic.mean)
            found.append((label, *(number(value) for value in numbers), f"{statistic.n:,}"))
    return found


def worst_rows(record: CompareRecord, most: int) -> list[tuple[str, str, ComparedRecord]]:
    """Return the inputs that changed most: id, the ranking metric's value, the record."""
    return [
        (each.id, number(each.metrics.get(record.ranked_by)), each)
        for each in record.inputs[:most]
        if each.metrics.get(record.ranked_by) is not None
    ]


def prediction(each: ComparedRecord) -> str:
    """Return what the two models say of an input: `cat → dog`, or `cat` where they agree."""
    if each.before is None or each.before == each.after:
        return each.after or ""
    return f"{each.before} → {each.after}"


def headline(record: CompareRecord) -> str:
    """Return the comparison in one sentence, without a full stop."""
    by = record.method if record.method == record.before_method else f"{record.before_method} and {record.method}"
    names = [PurePath(found.path).name for found in (record.before, record.after)]
    before, after = names if names[0] != names[1] else (record.before.path, record.after.path)
    return f"{before} and {after} by {by} on {counted(len(record.inputs), 'input')}"


def picture(record: CompareRecord, tiles: Sequence[Tile]) -> bytes:
    """Return a PNG of the inputs that changed most: picture, map after, map before, difference."""
    weights = [found.weights_sha256[:12] or "?" for found in (record.before, record.after)]
    told = f"target {record.target} · weights {weights[0]} → {weights[1]}"
    software = f"saliency {record.run.tool.get('version', '')}".strip()
    heading = f"saliency compare: {headline(record)}"
    return sheet(heading, told, tiles, max(1, len(tiles)), before="map before", software=software)


def markdown(record: CompareRecord, most: int, image: str | None = None) -> str:
    """Return the comparison as Markdown, the `most` inputs that changed most with it."""
    lines = [f"### saliency compare: {escape(headline(record))}", ""]
    header = ("metric", "median", "p05", "p95", "mean", "inputs")
    cells = [(code(label, cell=True), *rest) for label, *rest in rows(record)]
    lines += [*table(header, cells, right=(1, 2, 3, 4, 5)), ""]
    lines += [f"{record.predictions_changed:,} of {counted(len(record.inputs), 'prediction')} changed.", ""]
    lines += [f"- {escape(note)}" for note in record.notes] + [""] * bool(record.notes)
    shown = [
        (code(name, cell=True), value, escape(prediction(each))) for name, value, each in worst_rows(record, most)
    ]
    if shown:
        lines += ["<details open><summary>Changed most</summary>", ""]
        lines += [*table(("input", code(record.ranked_by, cell=True), "before → after"), shown, right=(1,))]
        lines += ["", "</details>", ""]
    if image is not None:
        lines += [f"![The inputs that changed most: picture, map, the map before, the difference]({image})", ""]
    if record.failed:
        lines += [f"<details><summary>{counted(len(record.failed), 'input')} failed</summary>", ""]
        lines += [f"- {code(name)}: {escape(message)}" for name, message in record.failed.items()]
        lines += ["", "</details>", ""]
    weights = [found.weights_sha256[:12] or "?" for found in (record.before, record.after)]
    tool = record.run.tool.get("version", "")
    lines += [
        f"<sub>saliency {tool} · target {escape(record.target)} · weights {weights[0]} → {weights[1]}</sub>",
        "",
    ]
    return "\n".join(lines)
