"""What was measured of a network, and how it is printed: one place for the command line, the card,
the README, the About page and the plots."""

from agegenderemo.report.card import card_tables, load_card, update_card
from agegenderemo.report.goals import Goal
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
from agegenderemo.report.tables import GOALS, history_table, tables
from agegenderemo.report.text import print_text

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
    "fill",
    "flat",
    "history_table",
    "largest_disparity",
    "load_card",
    "print_text",
    "tables",
    "update_card",
]
