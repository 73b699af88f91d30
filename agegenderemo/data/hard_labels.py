"""The one class that a face is measured against."""

from typing import Literal

from agegenderemo.data.readers.ferplus_votes import VOTED, argmax_label, majority_label
from agegenderemo.data.samples import Sample
from agegenderemo.errors import TaskError
from agegenderemo.tasks import TaskSpec

Protocol = Literal["majority", "argmax"]


def hard_label(sample: Sample, spec: TaskSpec, protocol: Protocol = "majority") -> str | None:
    """The name of the true class of a sample, or None where it has none.

    ``spec`` is the task as the *data set* has it; the network may know fewer classes, or more. The
    two protocols are those of FER+ and differ only where a sample has votes; the label of any other
    sample is its class, or the top of its distribution, the earlier one on a tie.
    """
    if spec.kind == "regression":
        raise TaskError(f"The task {spec.name!r} is a regression, which has no classes.")
    if sample.votes is not None and spec.name == VOTED.name:
        return (majority_label if protocol == "majority" else argmax_label)(sample.votes)
    label = sample.labels.get(spec.name)
    if label is None:
        return None
    if isinstance(label, tuple):
        return spec.classes[label.index(max(label))]
    return spec.classes[int(label)]
