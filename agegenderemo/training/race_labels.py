"""Weights of race labels are of labels that exist: a misspelt one would weigh nothing, in
silence."""

from collections.abc import Sequence

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.training.config import TrainConfig

KNOWN = frozenset(
    {"White", "Black", "Asian", "Indian", "Others", "East Asian", "Southeast Asian",
     "Middle Eastern", "Latino_Hispanic"}
)  # fmt: skip
"""Labels that published sets have: a recipe may weigh those of a set that this run leaves out."""


def check_race_weights(config: TrainConfig, sets: Sequence[PreparedSet]) -> None:
    """Raises AgeGenderEmoError for a weight of a race label that neither a set of the run nor a
    published one has."""
    found = {one.name: {sample.race for sample in one.samples} - {None} for one in sets}
    everywhere = {race for races in found.values() for race in races}
    for key in config.race_weights:
        name, slash, race = key.rpartition("/")
        known = found[name] if slash and name in found else everywhere
        if race not in known | KNOWN:
            labels = ", ".join(sorted(map(str, known))) or "none"
            raise AgeGenderEmoError(
                f"race_weights names {key!r}, but the race labels of the sets are: {labels}."
            )
