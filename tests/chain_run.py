"""Runs a recipe of three steps with the smallest network; `test_chain` starts it and kills it:
``chain_run.py SETS OUT PUBLIC``."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from small_training import TINY, changed  # noqa: E402

from agegenderemo.data.transforms import Augmentation  # noqa: E402
from agegenderemo.training.chain import run  # noqa: E402
from agegenderemo.training.recipes import FACE_DESCRIPTOR, Recipe, Step  # noqa: E402

_MIXED = changed(
    TINY, online_distillation=True, augmentation=Augmentation(mixup=0.5), optimiser="adam", seed=3
)
THREE = Recipe(
    "three",
    "tests",
    (
        Step("first", TINY, teachers=(FACE_DESCRIPTOR,)),
        Step("second", changed(TINY, seed=2), ("first",), (FACE_DESCRIPTOR, "first")),
        Step("third", _MIXED, ("first", "second"), (FACE_DESCRIPTOR, "second")),
    ),
)

if __name__ == "__main__":
    sets, out, public = map(Path, sys.argv[1:])
    run(THREE, sets, out, face_descriptor=public)
