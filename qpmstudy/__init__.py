"""The science of DINO-QPM: what is computed, with no word about where it runs or is kept."""

__version__ = "0.1.0"
