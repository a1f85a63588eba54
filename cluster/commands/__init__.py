"""The commands: read arguments, call one function, print. The only modules here that know click.

options.py   what they share: --root, how an error is told
study.py     study launch, status, list, table, export
results.py   study pareto, report, tensorboard
look.py      study show, plan, schema
upkeep.py    study gc, cancel
embed.py     embed
select.py    select, license
infer.py     infer
explain.py   explain class, feature, failures, overview
models.py    evaluate, compare, verify
cluster.py   cluster up, status, down

Each imports what it calls when it is called: `--help` must not wait for torch and Ray.
"""
