"""An account of a study or trial (`storage.account`) on a terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cluster.pace import duration
from cluster.printing import plain, plain_table
from qpmstudy.columns import shown, shown_mean
from storage.provenance import code_in_words

SEEDS_SHOWN = 6
KEY_DIGITS = 12


def study_view(account: Mapping[str, Any]) -> Group:
    """Return a study: its question, progress, cost by stage, and failures."""
    done, asked = account["progress"], account["question"]
    front = ", ".join(map(str, done["front"])) or "none yet"
    head = [
        f"{account['study']}: {account['state']}, {done['runs']} of {done['of']} runs, "
        f"{done['failed']} failed, {done['stopped']} stopped early; trials on the front: {front}",
        *([account["description"]] if account["description"] else []),
        f"{asked['configurations']} configurations x {asked['seeds']} seeds by {asked['sampler']}; "
        + ", ".join(f"{way} {name}" for name, way in asked["objectives"].items())
        + f" on the {asked['split']} split (protocol: {asked['protocol']})",
        f"in {account['folder']}",
    ]
    parts: list[Any] = [_lines(head), _space(asked["space"])]
    if asked["changed"]:
        parts.append(_pairs("what differs from the defaults", asked["changed"]))
    if account["cost"]:
        parts.append(_costs(account["cost"]))
    if account["failures"]:
        table = _table("failures", (), ("trial", "seed", "error"))
        for one in account["failures"]:
            table.add_row(str(one["trial"]), str(one["seed"]), one["error"])
        parts.append(table)
    if account["stopped"]:
        table = _table("stopped early", (), ("trial", "at"))
        for one in account["stopped"]:
            table.add_row(str(one["trial"]), one["why"])
        parts.append(table)
    return Group(*parts)


def trial_view(account: Mapping[str, Any]) -> Group:
    """Return a trial: what it set, what it is worth, and how each seed came about."""
    mark = ", on the front" if account["on_front"] else ""
    seeds = ", ".join(f"{seed} {status}" for seed, status in account["seeds"].items())
    values = account["configuration"]
    changed = _table("configuration: what differs from the defaults", (), ("", "value", "default"))
    for path, usual in account["changed"].items():
        changed.add_row(path, plain(values[path]), plain(usual))
    rest = {path: value for path, value in values.items() if path not in account["changed"]}
    parts: list[Any] = [
        _lines([f"{account['study']} trial {account['trial']}{mark}; seeds: {seeds}"]),
        changed,
        _lines(["as by default: " + ", ".join(f"{p}={plain(v)}" for p, v in rest.items())]),
    ]
    if account["metrics"]:
        parts.append(_metrics(account["metrics"], account["split"]))
    if account["certificates"]:
        parts.append(_certificates(account["certificates"]))
    parts += [_stages(account["stages"]), _provenance(account["provenance"])]
    for seed, why in account["stopped"].items():
        parts.append(_lines([f"seed {seed} stopped at {why}"]))
    for seed, error in account["errors"].items():
        traceback = account["error_logs"].get(seed, ())
        parts.append(_lines([f"seed {seed} FAILED: {error}", *(f"  {line}" for line in traceback)]))
    if account["log"]:
        parts.append(_lines(["from driver.log:", *(f"  {line}" for line in account["log"])]))
    return Group(*parts)


def _metrics(metrics: Mapping[str, Any], split: str) -> Table:
    """Return a row a metric; the dense model's stand beside the final one's."""
    seeds = list(next(iter(metrics.values()))["seeds"])[:SEEDS_SHOWN]
    title = f"metrics: mean ± standard error; fractions in percent; bare names: {split} split"
    table = _table(title, ("final", *(f"seed {seed}" for seed in seeds), "dense"), ("",))
    for name, found in metrics.items():
        if not name.startswith("dense_"):
            numbers = (shown(name, found["seeds"][seed]) for seed in seeds)
            dense = metrics.get(f"dense_{name}")
            beside = _spread(name, dense) if dense else ""
            table.add_row(name, _spread(name, found), *numbers, beside)
    return table


def _spread(name: str, found: Mapping[str, Any]) -> str:
    return shown_mean(name, found["mean"], found["standard_error"])


def _certificates(certificates: Mapping[str, Mapping[str, Any]]) -> Table:
    names = list(next(iter(certificates.values())))
    table = _table("certificate of the selection", (), ("seed", *names))
    for seed, known in certificates.items():
        table.add_row(seed, *(plain(known[name]) for name in names))
    return table


def _stages(stages: Iterable[Mapping[str, Any]]) -> Table:
    table = _table("stages", ("seconds",), ("seed", "stage", "key", "", "computed on"))
    for one in stages:
        how = "not reached" if one["seconds"] is None else "reused" if one["reused"] else "computed"
        seconds = "-" if one["seconds"] is None else f"{one['seconds']:.2f}"
        gone = "" if one["stored"] or one["seconds"] is None else ", removed since"
        key = one["key"][:KEY_DIGITS]
        cells = (str(one["seed"]), one["stage"], key, how + gone, one["device"] or "-")
        table.add_row(*cells, seconds)
    return table


def _provenance(made: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return who made the rows; seeds that agree share a line."""
    table = _table("to repeat it", (), ("", "seeds", ""))
    for name, words in (
        ("code", code_in_words),
        ("command", lambda known: known["command"] or "-"),
        ("embeddings", lambda known: (known["fingerprint"] or "-")[:KEY_DIGITS]),
        ("weights", lambda known: (known["weights"] or "-")[:KEY_DIGITS]),
        ("led from", lambda known: known["host"] or "-"),
        ("versions", lambda known: ", ".join(" ".join(pair) for pair in known["versions"].items())),
    ):
        groups: dict[str, list[str]] = {}
        for seed, known in made.items():
            groups.setdefault(words(known), []).append(seed)
        for text, seeds in groups.items():
            table.add_row(name, "all" if len(groups) == 1 else ", ".join(seeds), text)
    return table


def _space(space: Mapping[str, Mapping[str, Any]]) -> Table:
    table = _table("space", (), ("", "values"))
    for name, entry in space.items():
        if "values" in entry:
            words = ", ".join(map(plain, entry["values"]))
        elif "variants" in entry:
            words = ", ".join(entry["variants"])
        else:
            words = f"{entry['low']:g} to {entry['high']:g}"
            words += " (log)" if entry.get("log") else ""
            words += f" in steps of {entry['step']:g}" if entry.get("step") else ""
        sets = entry.get("paths")
        table.add_row(name, f"{words} (sets {', '.join(sets)})" if sets else words)
    return table


def _costs(cost: Mapping[str, Mapping[str, float]]) -> Table:
    table = _table("cost", ("computed", "took", "reused", "saved"), ("stage",))
    for stage, known in cost.items():
        table.add_row(
            stage,
            str(known["computed"]),
            duration(known["computed_seconds"]),
            str(known["reused"]),
            duration(known["reused_seconds"]),
        )
    return table


def _pairs(title: str, values: Mapping[str, Any]) -> Table:
    table = _table(title, (), ("", "value"))
    for name, value in values.items():
        table.add_row(name, plain(value))
    return table


def _table(title: str, right: Iterable[str], left: Iterable[str]) -> Table:
    """Return an empty table: columns of words, then columns of numbers."""
    table = plain_table(title)
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _lines(lines: Iterable[str]) -> Text:
    return Text("\n".join(lines))
