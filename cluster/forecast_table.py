"""What a launch would do, on a terminal."""

from rich.console import Group
from rich.text import Text

from cluster.pace import duration
from cluster.printing import plain_table
from storage.forecast import Forecast
from storage.sizes import readable


def forecast_view(found: Forecast) -> Group:
    """Return runs, stages with what is stored of them, cost, embeddings and memory."""
    runs = f"{found.configurations} configurations x {found.seeds} seeds"
    left = f", {found.done} runs done before" if found.done else ""
    head = [f"{found.study}: {runs}{left}; {found.runs} runs to come"]
    if found.extends:
        head.append("this is more than was launched before: launch it with --extend")
    head += _missing(found)
    if not found.exact:
        why = f"sampler {found.sampler}: what it will propose is not known"
        if found.sampler == "grid":
            why = "how many runs there will be is decided by their results"
        head.append(f"{why}; counts are the most there can be")
    table = plain_table()
    table.add_column("stage")
    for name in ("distinct", "stored", "to compute", "takes"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("estimated by", overflow="fold")
    for one in found.stages:
        takes = "?" if one.seconds is None else duration(one.seconds)
        counts = (str(one.distinct), str(one.stored), str(one.compute))
        table.add_row(one.stage, *counts, takes, one.basis)
    stages = [table] if found.stages else []
    below = [_cost(found), *found.late, *_needs(found)]
    return Group(Text("\n".join(head)), *stages, Text("\n".join(below)))


def _cost(found: Forecast) -> str:
    if not any(stage.compute for stage in found.stages):
        return "cost: no stage has to be computed"
    most = "" if found.exact else "at most "
    if found.seconds is None:
        return "cost: unknown, as stages like these were never computed under this root"
    return f"cost: {most}about {duration(found.seconds)} of stages, shared by all slots they get"


def _missing(found: Forecast) -> list[str]:
    """Return a line for each embeddings without which a launch ends at once."""
    return [
        f"a launch would end at once: {store.problem}"
        for store in found.stores
        if store.ends_launch
    ]


def _needs(found: Forecast) -> list[str]:
    lines = []
    for store in found.stores:
        name = f"embeddings of {store.dataset} by {store.backbone}"
        if store.bytes is not None:
            lines.append(f"{name}: there, {readable(store.bytes)} in memory")
        elif store.made_by_launch:
            lines.append(
                f"{name}: not there yet; the launch makes them, or before it: {store.command}"
            )
    return [*lines, *found.memory]
