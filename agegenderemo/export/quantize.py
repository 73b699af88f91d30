"""A network whose convolutions are computed in int8, as one ONNX graph.

Static quantisation by ONNX Runtime: weights per channel, inputs by the ranges that they have on
real crops. Convolutions alone: they are where the time goes, and two engines were seen to give the
same answers of them, but not where every operator was quantised. The graph needs nothing beside it;
its record has, beyond that of the checkpoint, ``precision`` and the SHA-256 of the float weights
that it was made from.
"""

import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from agegenderemo.errors import CheckpointError, ParityError
from agegenderemo.export.onnx import INPUT, set_record, whole_graph
from agegenderemo.model_info import HASH_KEY, META_KEY, PRECISION_KEY, ModelInfo
from agegenderemo.models.heads import MultiTaskNet
from agegenderemo.tasks import TaskSpec

FEWEST_FACES = 16
"""Crops below which ranges are not worth the name."""

WORST_REGRESSION = 0.05
"""Mean distance from float, as a share of the spread of the float answers, that is refused."""

WORST_AGREEMENT = 0.95
"""Share of faces with the class that float gives, below which a graph is refused."""

_BATCH = 16
_PERCENTILE = 99.99  # of the values of a tensor that its range holds


def int8_graph(
    model: MultiTaskNet, info: ModelInfo, faces: NDArray[np.float32], weights_sha256: str
) -> bytes:
    """The int8 graph of a network, with ranges from N normalised faces, N×3×S×S.

    Raises CheckpointError for too few faces.
    """
    if len(faces) < FEWEST_FACES:
        raise CheckpointError(
            f"int8 needs at least {FEWEST_FACES} crops to find its ranges, not {len(faces)}."
        )
    graph = onnx.load_from_string(whole_graph(model, info))
    # The mark of ONNX Runtime's own preparation, which has nothing to do here: batch norms are
    # folded already. Without it, it warns twice.
    graph.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        out = Path(folder) / "int8.onnx"
        quantize_static(
            graph,
            out,
            _Batches(faces),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            # Weights in 7 bits. Processors without VNNI sum products of int8 in pairs of 16 bits,
            # which 8 bits overflow: on an emulated Haswell an answer moved by 0.9. With 7 they
            # answer as others do. (ONNX Runtime's session.x64quantprecision gives the same, but
            # takes the slow way where there is VNNI, too: twice the time.)
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Few values lie far out; to cover them would make all others coarser.
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": _PERCENTILE},
        )
        quantized = onnx.load(str(out))
    record = json.loads(next(p.value for p in graph.metadata_props if p.key == META_KEY))
    del quantized.metadata_props[:]
    set_record(quantized, record | {PRECISION_KEY: "int8", HASH_KEY: weights_sha256})
    return bytes(quantized.SerializeToString())


def with_calibration(graph: bytes, info: ModelInfo) -> bytes:
    """The same graph with the calibration of a record: int8 is calibrated on its own answers."""
    model = onnx.load_from_string(graph)
    (entry,) = model.metadata_props
    record = json.loads(entry.value) | {"calibration": info.to_dict()["calibration"]}
    del model.metadata_props[:]
    set_record(model, record)
    return bytes(model.SerializeToString())


def compare_answers(
    specs: Sequence[TaskSpec],
    float_raw: Mapping[str, NDArray[np.float32]],
    int8_raw: Mapping[str, NDArray[np.float32]],
) -> dict[str, dict[str, float]]:
    """How two engines' raw outputs for the same faces differ, by the name of the task.

    A regression has the ``mean`` of the absolute differences, the ``bias`` and the ``largest``, in
    its unit, and the ``share`` of the mean in the spread of the float answers; other tasks the
    ``agreement``, the share of faces with the same class.

    Raises ParityError when a regression is further apart than `WORST_REGRESSION`, or classes agree
    less than `WORST_AGREEMENT`.
    """
    found: dict[str, dict[str, float]] = {}
    for spec in specs:
        ours, theirs = (np.asarray(raw[spec.name], np.float64) for raw in (float_raw, int8_raw))
        if spec.kind == "regression":
            apart = theirs - ours
            spread = max(float(ours.std()), 0.01 * float(np.abs(ours).mean()), 1e-6)
            mean = float(np.abs(apart).mean())
            found[spec.name] = {
                "mean": mean,
                "bias": float(apart.mean()),
                "largest": float(np.abs(apart).max()),
                "share": mean / spread,
            }
        else:
            classes = [
                raw > 0 if spec.kind == "binary" else raw.argmax(axis=1) for raw in (ours, theirs)
            ]
            found[spec.name] = {"agreement": float((classes[0] == classes[1]).mean())}
    bad = [
        name
        for name, value in found.items()
        # A NaN fails too.
        if not (
            value.get("share", 0) <= WORST_REGRESSION
            and value.get("agreement", 1) >= WORST_AGREEMENT
        )
    ]
    if bad:
        raise ParityError(
            f"int8 does not answer like float: {', '.join(bad)} differ too much; "
            "train with agegenderemo quantize, or stay with float."
        )
    return found


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """The faces, some at a time, as ONNX Runtime asks for them."""

    def __init__(self, faces: NDArray[np.float32]) -> None:
        # Whole batches only: their histograms must be of one shape.
        starts = range(0, len(faces) - _BATCH + 1, _BATCH)
        self._batches = iter([faces[start : start + _BATCH] for start in starts])

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}
