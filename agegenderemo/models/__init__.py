"""Multi-task networks. A family is one file that registers its specs; importing it here adds it."""

from agegenderemo.models import agegendernet, facedescriptor
from agegenderemo.models.heads import MultiTaskNet, Outputs
from agegenderemo.models.registry import ModelSpec, create_model, get_spec, model_names

__all__ = [
    "ModelSpec",
    "MultiTaskNet",
    "Outputs",
    "agegendernet",
    "create_model",
    "facedescriptor",
    "get_spec",
    "model_names",
]
