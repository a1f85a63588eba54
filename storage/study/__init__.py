"""What a study is: its specification, the space it searches, and the file it is written in.

spec.py         the frozen specification
parsing.py      from a file's content to it, with all errors at once
seeds.py        how many replicates
space.py        which values are varied; space_problems.py says what is wrong with them
durations.py    "1h30m"
stopping.py     which trials end early
extension.py    whether a file asks for more of a launched study, or for something else
validation.py   types and ranges of the pipeline configuration, and errors in words
yaml_file.py    reading the file
schema.py       what editors check a file by; descriptions.py: what its keys mean
"""

from storage.study.extension import differences
from storage.study.parsing import parse_study
from storage.study.seeds import Seeds
from storage.study.space import Parameter, grid
from storage.study.spec import StudySpec
from storage.study.yaml_file import load_study

__all__ = ["Parameter", "Seeds", "StudySpec", "differences", "grid", "load_study", "parse_study"]
