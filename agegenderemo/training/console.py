"""What a run says of itself while it goes on: one text at its start, one line an epoch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.tasks import TaskSpec
from agegenderemo.training.config import TrainConfig
from agegenderemo.training.folder import History, best_epoch
from agegenderemo.training.trainer import Trainer

Say = Callable[[str], None]
"""Shows a text to whoever started the run."""

LEGEND = (
    "A line an epoch: training, then validation. Losses are those of the labels alone, by task the "
    "mean over the faces that have one, weighted as the recipe says; training's are of changed "
    "faces, as they are drawn, while the weights move, validation's of held-out faces as they are."
)


def quiet(text: str) -> None:
    """Says nothing."""


def start_text(trainer: Trainer, sets: Sequence[PreparedSet], machine: Mapping[str, Any]) -> str:
    """Network, device, faces and steps of a run."""
    config, context = trainer.config, trainer.context
    learnt = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in trainer.model.parameters())
    tasks = ", ".join(spec.name for spec in trainer.model.tasks)
    precision = "bfloat16" if trainer.bfloat16 else "float32"
    threads = f"{_count(machine['threads'], 'thread')} a process, "
    lines = [
        f"{config.model} for {tasks}: {whole:,} parameters"
        + (f", of which {learnt:,} learn" if learnt < whole else ""),
        f"on {machine['device']}: {_count(context.size, 'process', 'es')}, "
        f"{threads if context.device.type == 'cpu' else ''}{precision}",
    ]
    counts = trainer.training.counts()
    for one in sets:
        held = len(one.rows("val", copies=not config.drop_copies))
        drawn = round(counts[one.name] * trainer.fractions[one.name])
        lines.append(
            f"{one.name}: {counts[one.name]:,} training faces, {drawn:,} drawn an epoch, "
            f"{held:,} for validation"
        )
    lines.append(
        f"{_count(config.epochs, 'epoch')} of {_count(trainer.steps, 'step')} of "
        f"{config.batch} faces"
    )
    return "\n".join(lines) + f"\n{LEGEND}"


def epoch_line(history: History, config: TrainConfig, specs: Sequence[TaskSpec]) -> str:
    """The last epoch of a history in one line: losses, a figure a task, what was kept, and about
    how long the rest will take."""
    line = history[-1]
    parts = [
        f"epoch {line['epoch']}/{config.epochs} at {line['size']} px: "
        f"loss {_pair(line, 'train_total', 'val_total', 3)}"
    ]
    for spec in specs:
        if spec.kind == "regression":
            shown = _pair(line, f"train_{spec.name}_mae", f"val_{spec.name}_mae", 2)
            unit = f" {spec.unit}" if spec.unit else ""
        else:
            own = "accuracy_majority" if spec.kind == "categorical" else "accuracy"
            shown = _pair(line, f"train_{spec.name}_accuracy", f"val_{spec.name}_{own}", 1, 100)
            unit = " %"
        parts.append(f"{spec.name} {shown}{unit}")
    best = best_epoch(history)
    if config.keep == "last" or best == len(history) - 1:
        parts.append("kept")
    else:
        parts.append(f"epoch {history[best]['epoch']} stays kept")
    left = seconds_left(history, config)
    parts.append(f"{line['seconds']:.0f} s" + (f", about {_duration(left)} left" if left else ""))
    return "; ".join(parts)


def seconds_left(history: History, config: TrainConfig) -> float:
    """How long the epochs that remain will take, if time goes with the area of the input."""
    line = history[-1]
    area = sum(config.size_at(e) ** 2 for e in range(len(history), config.epochs))
    return float(line["seconds"]) * area / float(line["size"]) ** 2


def _pair(
    line: Mapping[str, Any], trained: str, validated: str, digits: int, factor: float = 1
) -> str:
    values = [line.get(trained), line.get(validated)]
    return ", ".join("-" if v is None else f"{factor * float(v):.{digits}f}" for v in values)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _count(number: int, what: str, ending: str = "s") -> str:
    return f"{number:,} {what}" + ending * (number != 1)
