"""What was measured of a network, and how it is printed: one place for the command line, the card,
the README, the About page and the plots."""

from agegenderemo.report.card import card_tables, check_card, fill_page, load_card, update_card
from agegenderemo.report.goals import Goal
from agegenderemo.report.history import history_table
from agegenderemo.report.plain import plain_sentences
from agegenderemo.report.record import (
    ADULT,
    ADULT_RACE,
    LEVEL,
    RACE,
    SETS,
    Report,
    flat,
    largest_disparity,
)
from agegenderemo.report.table import Table, fill
from agegenderemo.report.tables import GOALS, tables
from agegenderemo.report.text import print_text
from agegenderemo.report.zoo import comparison_table, zoo_page, zoo_tables

__all__ = [
    "ADULT",
    "ADULT_RACE",
    "GOALS",
    "LEVEL",
    "RACE",
    "SETS",
    "Goal",
    "Report",
    "Table",
    "card_tables",
    "check_card",
    "comparison_table",
    "fill",
    "fill_page",
    "flat",
    "history_table",
    "largest_disparity",
    "load_card",
    "plain_sentences",
    "print_text",
    "tables",
    "update_card",
    "zoo_page",
    "zoo_tables",
]
