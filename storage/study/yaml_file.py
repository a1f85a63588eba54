"""Reading a study file: safe YAML, of bounded size, without aliases or repeated keys."""

import re
from pathlib import Path
from typing import Any

import yaml

from qpmstudy.errors import ConfigError
from storage.study.spec import StudySpec, parse_study

MAX_BYTES = 2**20
MAX_WORD = 10_000
"""Characters of one value: numbers in base 60, as YAML has them, take quadratic time."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses aliases, which can expand without bound, and keys that stand twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases (*name) are refused", problem_mark=mark)
        if self.check_event(yaml.ScalarEvent) and len(self.peek_event().value) > MAX_WORD:
            mark = self.peek_event().start_mark
            problem = f"a value has more than {MAX_WORD} characters"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key must be a word, not a list or mapping"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            if key.value in seen:
                problem = f"the key {key.value!r} stands twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


# YAML 1.1 reads 1e-3 as text for want of a dot; everyone who writes it means a number.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"),
    list("-+0123456789"),
)


def load_study(path: Path) -> StudySpec:
    """Read and validate a study file.

    Raises:
        ConfigError: the file is missing, is no YAML, or breaks rules: all are listed.
    """
    return parse_study(read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """Return the content of a study file as it stands there.

    Raises:
        ConfigError: the file is missing, or no YAML.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ConfigError(f"{path} is no file: a device or pipe may never end.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES} bytes: that is no study file.")
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The study file {path} cannot be read: {error}.") from error
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply: that is no study file.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: dates and numbers that are none
        raise ConfigError(f"{path} is no valid YAML: {error}") from error
