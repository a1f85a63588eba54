"""Tables of the paper on a terminal. Apart from others, which need not load what draws pictures."""

from rich.table import Table

from cluster.printing import plain_table
from storage.summary import short_names
from storage.table import Table as PaperTable
from storage.table import text


def paper_tables(made: PaperTable) -> list[Table]:
    """Return a table of the paper, one a dataset: configurations down, metrics across."""
    datasets = list(dict.fromkeys(column.dataset for column in made.columns))
    tables = []
    for dataset in datasets:
        title = made.title if len(datasets) == 1 else f"{made.title} ({dataset})"
        table = plain_table(title)
        for name in short_names(list(made.parameters)):
            table.add_column(name)
        mine = [index for index, column in enumerate(made.columns) if column.dataset == dataset]
        for index in mine:
            words = made.columns[index].metric.removeprefix("test_").replace("_", "\n")
            table.add_column(words, justify="right")
        for labels, cells in zip(made.rows, made.cells, strict=True):
            texts = [text(cells[index], made.columns[index]) for index in mine]
            table.add_row(*map(str, labels), *texts)
        tables.append(table)
    return tables
