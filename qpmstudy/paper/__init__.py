"""What the DINO-QPM paper reports, to stand beside what a study measures.

published.json   the values, one record a cell, in fractions, each with where it was read
published.py     the one function that reads them
"""

from qpmstudy.paper.published import TABLES, PublishedValue, published

__all__ = ["TABLES", "PublishedValue", "published"]
