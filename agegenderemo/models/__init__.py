"""Multi-task networks. A family is one file that registers its specs; importing it here adds it."""

from agegenderemo.models import (
    agegendernet,
    mobilenet_v1_face,
    mobileone,
    ssrnet,
    timm_nets,
    torchvision_nets,
)
from agegenderemo.models.heads import MultiTaskNet, Outputs, set_regression_start
from agegenderemo.models.registry import ModelSpec, create_model, get_spec, model_names, register

__all__ = [
    "ModelSpec",
    "MultiTaskNet",
    "Outputs",
    "agegendernet",
    "create_model",
    "get_spec",
    "mobilenet_v1_face",
    "mobileone",
    "model_names",
    "register",
    "set_regression_start",
    "ssrnet",
    "timm_nets",
    "torchvision_nets",
]
