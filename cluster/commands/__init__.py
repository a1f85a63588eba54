"""The commands: read arguments, call one function, print. The only modules here that know click.

options.py   what they share: --root, how an error is told
study.py     study launch, status, list, table, export
results.py   study pareto, tensorboard
look.py      study show, plan, schema
upkeep.py    study gc, cancel
embed.py     embed
select.py    select, license
models.py    infer, evaluate

Each imports what it calls when it is called: `--help` must not wait for torch and Ray.
"""
