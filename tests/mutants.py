"""Breaks the code on purpose and sees whether the tests fall: ``python tests/mutants.py``.

Two kinds of mutants: named ones, each a step that could be deleted in silence, and ones drawn by a
fixed seed from the syntax trees of some rooms. Each is put into a copy of the project, and the
tests of its room run there. Prints a table; exits with 1 when one survives that is not listed in
`ALLOWED`. It takes a while, so it is no part of the test run.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "agegenderemo"
SEED = 20
DRAWN = 40
TIMEOUT = 420  # seconds for the tests of one mutant; one that hangs is noticed too

TESTS: dict[str, tuple[str, ...]] = {
    "tasks": ("test_tasks.py", "test_types.py", "test_results.py", "test_calibration.py",
              "test_settling.py"),
    "imaging": ("test_imaging_*.py", "test_detection_*.py", "test_analyzer.py"),
    "detection": ("test_detection_*.py", "test_analyzer.py"),
    "inference": ("test_analyzer.py", "test_tracking.py", "test_settling.py", "test_stream.py",
                  "test_graph.py", "test_export.py"),
    "data": ("test_data*.py", "test_transforms.py", "test_targets.py", "test_sampler.py",
             "test_readers*.py", "test_preparation.py"),
    "training": ("test_train*.py", "test_losses.py", "test_distill*.py", "test_optim*.py",
                 "test_recipes.py", "test_chain.py", "test_config.py", "test_distributed.py",
                 "test_teacher*.py", "test_muon.py", "test_ffhq.py"),
    "export": ("test_export.py", "test_graph.py"),
}  # fmt: skip
"""Test files that should notice what is broken in a room; patterns."""

ROOMS = ("imaging", "detection", "inference", "tasks", "training")
"""Rooms that mutants are drawn from."""

ALLOWED: dict[str, str] = {}
"""Survivors that are no gap in the tests, by their name in the table, each with the reason."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file: ``old``, which stands in it just once, becomes ``new``."""

    name: str
    path: str
    old: str
    new: str


_AUGMENT = "agegenderemo/data/transforms.py"
_TRAIN = "agegenderemo/training/trainer.py"

NAMED: tuple[Mutant, ...] = (
    Mutant("no warp", _AUGMENT, "    x = F.grid_sample(x, grid, ", "    F.grid_sample(x, grid, "),
    Mutant("no recolour", _AUGMENT, "    x = _recolour(x, parameters)\n", ""),
    Mutant("no degrade", _AUGMENT, "    x = _degrade(x, parameters)\n", ""),
    Mutant("no blur", _AUGMENT, "        x[rows] = _resize(_resize(", "        _resize(_resize("),
    Mutant("no noise", _AUGMENT, "device=x.device) * 0.04", "device=x.device) * 0.0"),
    Mutant("no erase", _AUGMENT, "_erase(x.clamp_(0, 1), parameters.erased)", "x.clamp_(0, 1)"),
    Mutant("no mixup", _AUGMENT, "    x[rows] = torch.lerp(x[rows], x[neighbours], share)\n", ""),
    Mutant("no hue", _AUGMENT, "    if parameters.hue.any():", "    if False:"),
    Mutant("no grey faces", _AUGMENT, "saturation[chosen(how.grey)] = 0", "chosen(how.grey)"),
    Mutant("no flip", _AUGMENT, "torch.where(chosen(0.5), -1.0, 1.0)",
           "torch.where(chosen(0.5), 1.0, 1.0)"),
    Mutant("distillation without features", "agegenderemo/training/distillation.py",
           "return loss + self._weights.features *", "return loss + 0 *"),
    Mutant("no gradient clipping", _TRAIN,
           "        nn.utils.clip_grad_norm_(self.parameters, self.config.clip)\n", ""),
    Mutant("no moving average", _TRAIN, "self._average(min(config.ema, (1 + step) / (10 + step)))",
           "self._average(0.0)"),
    Mutant("loss without mask", "agegenderemo/training/losses.py",
           "torch.where(mask, values, 0.0).sum()", "values.sum()"),
    Mutant("targets without mask", "agegenderemo/data/targets.py",
           "t._replace(mask=t.mask & ~faces)", "t"),
    Mutant("no mirror mean", "agegenderemo/inference/predictor.py", "        if mirror:",
           "        if False:"),
    Mutant("no parity check", "agegenderemo/export/onnx.py",
           "    if not all(share <= TOLERANCE for share in apart.values()):", "    if False:"),
    Mutant("weights not bound to their graph", "agegenderemo/inference/graph.py",
           "    if digest != sha256(weights):", "    if False:"),
    Mutant("tensors may be elsewhere", "agegenderemo/inference/graph.py",
           "    if names or not name or", "    if False and name or"),
)  # fmt: skip
"""Steps that could be deleted in silence."""


def drawn(count: int, seed: int) -> list[tuple[str, str, str]]:
    """Name, path and changed text of mutants spread evenly over `ROOMS`, a pure function of the
    seed and the code."""
    generator = random.Random(seed)
    chosen = []
    for room in ROOMS:
        found = [
            (path, change)
            for path in sorted((ROOT / PACKAGE / room).rglob("*.py"))
            for change in changes(path.read_text(encoding="utf-8"))
        ]
        for path, (line, what, text) in generator.sample(
            found, min(count // len(ROOMS), len(found))
        ):
            inside = path.relative_to(ROOT / PACKAGE)
            chosen.append((f"{inside}:{line} {what}", str(path.relative_to(ROOT)), text))
    return chosen


_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip
_SIGNS: dict[type[ast.AST], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not", ast.Add: "+",
    ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.And: "and", ast.Or: "or",
}  # fmt: skip


def changes(source: str) -> Iterator[tuple[int, str, str]]:
    """Every change of a file that the operators here make: line, what, and the changed text."""
    seen: set[ast.expr] = set()
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue  # constants, annotations and records have no behaviour of their own
        for node in ast.walk(function):
            if not isinstance(node, ast.expr) or node in seen:  # functions stand in functions
                continue
            seen.add(node)
            change = _change(node)
            if change is not None:
                what, new = change
                yield node.lineno, what, _replaced(source, node, ast.unparse(new))


def _change(node: ast.expr) -> tuple[str, ast.expr] | None:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        old = type(node.ops[0])
        if old not in _COMPARED:
            return None
        new = _COMPARED[old]
        return f"{_SIGNS[old]} → {_SIGNS[new]}", ast.Compare(node.left, [new()], node.comparators)
    if isinstance(node, ast.BinOp) and type(node.op) in _COUNTED and not _is_text(node):
        swapped = _COUNTED[type(node.op)]
        return (
            f"{_SIGNS[type(node.op)]} → {_SIGNS[swapped]}",
            ast.BinOp(node.left, swapped(), node.right),
        )
    if isinstance(node, ast.BoolOp):
        other: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return f"{_SIGNS[type(node.op)]} → {_SIGNS[type(other)]}", ast.BoolOp(other, node.values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return "not → nothing", node.operand
    return None


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str | bytes))
        for side in (node.left, node.right)
    )


def _replaced(source: str, node: ast.expr, text: str) -> str:
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    data = source.encode()
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    begin = starts[node.lineno - 1] + node.col_offset
    end = starts[node.end_lineno - 1] + node.end_col_offset
    return (data[:begin] + f"({text})".encode() + data[end:]).decode()


def tests_of(path: str) -> list[str]:
    """The test files that should notice a change of a file, relative to the project."""
    room = Path(path).parts[1]
    found = [
        str(test.relative_to(ROOT))
        for pattern in TESTS[room]
        for test in sorted((ROOT / "tests").glob(pattern))
    ]
    assert found, f"no test file is named for {path}"
    return list(dict.fromkeys(found))


def survives(copy: Path, path: str, text: str) -> bool:
    """Whether the tests of its room pass with a file changed; the file is put back."""
    file = copy / path
    before = file.read_text(encoding="utf-8")
    file.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += ["-m", "not browser and not slow", *tests_of(path)]
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return False
    finally:
        file.write_text(before, encoding="utf-8")
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drawn", type=int, default=DRAWN, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", default="", help="mutants whose name holds this text")
    args = parser.parse_args()
    every = [(one.name, one.path, named_text(one)) for one in NAMED]
    every = [one for one in every + drawn(args.drawn, args.seed) if args.only in one[0]]
    left = []
    print("| mutant | tests |\n| --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        hidden = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", "runs", "build", "dist")
        shutil.copytree(ROOT, copy, ignore=hidden)
        for path in {tuple(tests_of(path)): path for _, path, _ in every}.values():
            unchanged = (copy / path).read_text(encoding="utf-8")
            if not survives(copy, path, unchanged):
                sys.exit(f"The tests of {path} fail without a mutant: {' '.join(tests_of(path))}")
        for name, path, text in every:
            alive = survives(copy, path, text)
            verdict = "fall"
            if alive:
                verdict = f"pass: {ALLOWED[name]}" if name in ALLOWED else "**pass**"
                left += [] if name in ALLOWED else [name]
            print(f"| {name} | {verdict} |", flush=True)
    print(f"\n{len(left)} survived without a reason.")
    return int(bool(left))


def named_text(one: Mutant) -> str:
    """The changed text of a named mutant; raises ValueError when the code no longer fits it."""
    text = (ROOT / one.path).read_text(encoding="utf-8")
    if text.count(one.old) != 1:
        raise ValueError(
            f"{one.name}: {one.old!r} stands {text.count(one.old)} times in {one.path}"
        )
    return text.replace(one.old, one.new)


if __name__ == "__main__":
    sys.exit(main())
