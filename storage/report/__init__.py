"""A study as one HTML file that needs no server and no network.

data.py      everything the page shows, as JSON types
columns.py   parameters, metrics and configurations, column by column
cards.py     what a configuration's card has beside its numbers: curves, certificates, pictures
pictures.py  overlays, made small
repeat.py    the commands that repeat, continue or use a study
page.py      the file: template, styles and scripts of assets/ around the data
"""

from storage.report.data import Limits, report_data
from storage.report.page import report_page

__all__ = ["Limits", "report_data", "report_page"]
