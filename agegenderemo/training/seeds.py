"""One recipe by several seeds: how much of a figure is chance."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

from agegenderemo.files import write_atomically
from agegenderemo.training.chain import step_folder
from agegenderemo.training.folder import best_epoch, read_history
from agegenderemo.training.recipes import Recipe

SEEDS = "seeds.csv"


def run(recipe: Recipe, out: Path, count: int, train: Callable[[Recipe, Path], Path]) -> str:
    """Train the recipe ``count`` times, its seeds and the next ones, each in a folder of ``out``;
    the table of the last step's validation figures, which ``seeds.csv`` holds too.

    A seed that is finished is not trained again, as ``train`` sees to it.
    """
    figures = {}
    for number in range(count):
        own = of_seed(recipe, number)
        folder = out / f"seed-{own.steps[-1].config.seed}"
        train(own, folder)
        last = own.steps[-1]
        history = read_history(step_folder(own, last, folder))
        kept = best_epoch(history) if last.config.keep == "best" else -1
        figures[folder.name] = {k: v for k, v in history[kept].items() if k.startswith("val_")}
    write_atomically(out / SEEDS, _csv(figures).encode())
    return table(figures)


def of_seed(recipe: Recipe, number: int) -> Recipe:
    """The recipe with every step's seed so much higher."""
    steps = (
        replace(step, config=replace(step.config, seed=step.config.seed + number))
        for step in recipe.steps
    )
    return replace(recipe, steps=tuple(steps))


def table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """A line a figure: its mean over the runs, the deviation of one run from another (that of a
    sample, n - 1), and each run's own."""
    names = list(dict.fromkeys(name for own in figures.values() for name in own))
    lines = [f"Validation, {len(figures)} seeds: mean ± standard deviation ({', '.join(figures)})"]
    for name in names:
        values = [own[name] for own in figures.values() if name in own]
        spread = f"{stdev(values):.4f}" if len(values) > 1 else "unknown"
        each = ", ".join(f"{value:.4f}" for value in values)
        lines.append(f"  {name.removeprefix('val_')}: {mean(values):.4f} ± {spread} ({each})")
    return "\n".join(lines)


def _csv(figures: Mapping[str, Mapping[str, float]]) -> str:
    text = io.StringIO(newline="")
    columns: Sequence[str] = list(dict.fromkeys(k for own in figures.values() for k in own))
    writer = csv.DictWriter(text, ["run", *columns])
    writer.writeheader()
    writer.writerows({"run": name, **own} for name, own in figures.items())
    return text.getvalue()
