"""What `vigil demo` shows at its end: how the patient has fared, and what was said on which topic."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table


def trajectory_table(line: dict[str, Any]) -> Table:
    """One measure of a patient over time, the oldest answer first; `line` as outcomes tells it."""
    table = Table(title=f"Trajectory, {line['instrument']}", title_justify="left", box=SIMPLE_HEAD)
    for column in ("answered", "total", "band", "change", "reliable"):
        table.add_column(column, justify="right" if column in ("total", "change") else "left", no_wrap=True)
    for point in line["points"]:
        change = point["change"]
        table.add_row(
            point["answered_at"][:10],
            str(point["total"]),
            (point["band"] or "-").replace("_", " "),
            "-" if change is None else f"{change:+d}",
            point["reliable"] or "-",
        )
    return table


def published_table(published: dict[str, dict[str, int]]) -> Table:
    """Events by topic and type; `published` as `deploy.local.published` counts them."""
    table = Table(title="Published", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("topic", no_wrap=True)
    table.add_column("event", no_wrap=True)
    table.add_column("count", justify="right")
    for topic, types in published.items():
        for number, (of_type, count) in enumerate(types.items()):
            table.add_row(topic if number == 0 else "", of_type, str(count))
    return table
