"""Networks of torchvision as backbones, untrained: ResNet (He et al. 2016), AlexNet (Krizhevsky
et al. 2012) and DenseNet (Huang et al. 2017). Options are those of `library_net`."""

from collections.abc import Sequence
from typing import Unpack

from torch import nn
from torchvision import models

from agegenderemo.models.heads import HeadOptions, MultiTaskNet, library_net
from agegenderemo.models.layers import AveragePool
from agegenderemo.models.registry import register
from agegenderemo.tasks import TaskSpec
from agegenderemo.types import InputSpec

_INPUT = InputSpec(224)


@register("resnet18", _INPUT)
def resnet18(tasks: Sequence[TaskSpec], **options: Unpack[HeadOptions]) -> MultiTaskNet:
    """ResNet-18, 11.2 million parameters."""
    return _resnet(models.resnet18(weights=None), tasks, options)


@register("resnet50", _INPUT)
def resnet50(tasks: Sequence[TaskSpec], **options: Unpack[HeadOptions]) -> MultiTaskNet:
    """ResNet-50, 23.5 million parameters."""
    return _resnet(models.resnet50(weights=None), tasks, options)


@register("alexnet", _INPUT)
def alexnet(tasks: Sequence[TaskSpec], **options: Unpack[HeadOptions]) -> MultiTaskNet:
    """AlexNet with its two hidden layers of 4,096 units, 57 million parameters; from 63 pixels."""
    net = models.alexnet(weights=None, dropout=0.5 * options.get("dropout_scale", 1.0))
    # From any size to that for which the hidden layers are made, as torchvision does it.
    net.avgpool = AveragePool(6)
    width = net.classifier[-1].in_features
    net.classifier[-1] = nn.Identity()
    return library_net(net, width, tasks, **options)


@register("densenet121", _INPUT)
def densenet121(tasks: Sequence[TaskSpec], **options: Unpack[HeadOptions]) -> MultiTaskNet:
    """DenseNet-121, 7.0 million parameters."""
    net = models.densenet121(weights=None)
    width = net.classifier.in_features
    net.classifier = nn.Identity()
    return library_net(net, width, tasks, **options)


def _resnet(net: models.ResNet, tasks: Sequence[TaskSpec], options: HeadOptions) -> MultiTaskNet:
    width = net.fc.in_features
    net.fc = nn.Identity()
    return library_net(net, width, tasks, **options)
