"""The type checker that the science runs under in tests: beartype, an int being a float too."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
