"""Export the network of a finished run to files, each verified before it is kept."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from benchmarks.export.onnx_network import NoOnnxFormError, checked_form, onnx_model
from benchmarks.export.runtimes import OnnxNetwork, ProgramNetwork
from benchmarks.export.signature import Signature, real_batches
from benchmarks.export.torch_program import export_program
from benchmarks.export.verification import largest_difference
from benchmarks.runner.load_run import FinishedRun

ONNX = "model.onnx"
INT8 = "model.int8.onnx"
PROGRAM = "model.pt2"
DESCRIPTION = "inputs.json"


@dataclass(frozen=True)
class Exports:
    """Exported files, by file name: the loaded networks, differences and other files.

    `without_onnx` is the reason if there are no ONNX files.
    """

    folder: Path
    signature: Signature
    networks: dict[str, nn.Module]
    differences: dict[str, float]
    others: list[str]
    without_onnx: str | None = None


def export_run(run: FinishedRun, folder: Path, threads: int) -> Exports:
    """Export a network; the files appear in the folder when all equal the network."""
    network, _ = run.network("torch")
    without_onnx = reason_against_onnx(network)
    signature = Signature.of(network, real_batches(run.task, 3, 1)[0])
    metadata = {"run": run.row["run_id"], "model": run.row["model"], "task": run.row["task"]}
    metadata["rnnbench"] = version("rnnbench")
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder, prefix=".export-"))
    try:
        torch.export.save(traced(run, network, signature), draft / PROGRAM)
        program = torch.export.load(draft / PROGRAM)
        loaded: dict[str, nn.Module] = {PROGRAM: ProgramNetwork(program, signature)}
        for name in () if without_onnx else (ONNX, INT8):
            model = onnx_model(network, signature, name == INT8, metadata)
            (draft / name).write_bytes(model.SerializeToString())
            loaded[name] = OnnxNetwork(draft / name, signature, threads)
        if not without_onnx:
            onnx.checker.check_model(draft / ONNX, full_check=True)
        differences = {
            name: largest_difference(name, loaded[name], network, run.task)
            for name in (ONNX, PROGRAM)
            if name in loaded
        }
        preprocessing, files = run.task.preprocessing()
        description = describe(signature, metadata, list(loaded))
        description["preprocessing"] = preprocessing
        text = json.dumps(description, indent=2, ensure_ascii=False)
        files = {DESCRIPTION: f"{text}\n", **files}
        for name, content in files.items():
            (draft / name).write_text(content, encoding="utf-8")
        for path in sorted(draft.iterdir()):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Exports(folder, signature, loaded, differences, list(files), without_onnx)


def reason_against_onnx(network: nn.Module) -> str | None:
    """Return why a network has no ONNX form; None if it has one."""
    try:
        checked_form(network)
    except NoOnnxFormError as error:
        return str(error)
    return None


def describe(signature: Signature, metadata: dict[str, str], names: list[str]) -> dict[str, Any]:
    """Return the files, inputs and outputs, as `inputs.json` has them."""
    dtype = str(signature.input_dtype).removeprefix("torch.")
    states, arguments = signature.state_names(), ["inputs"]
    inputs = [tensor("inputs", dtype, ("batch", "time", *signature.input_shape))]
    outputs = [tensor("outputs", "float32", signature.output_shape)]
    if signature.has_lengths:
        inputs.append(tensor("lengths", "int64", ("batch",)))
        arguments.append("lengths")
    for name, shape in zip(states, signature.state_shapes(), strict=True):
        inputs.append(tensor(name, "float32", shape))
        outputs.append(tensor(f"new_{name}", "float32", shape))
    if states:
        arguments.append(f"({', '.join(states)}{',' if len(states) == 1 else ''})")
    files = {
        ONNX: "float32, standard operations of ONNX alone",
        INT8: "weights of int8; for an LSTM with an operation of ONNX Runtime, whose weights "
        "are in [-64, 64], so that integer sums do not saturate on CPUs without VNNI",
        PROGRAM: f"torch.export.load({PROGRAM!r}).module()({', '.join(arguments)})",
    }
    return {
        **metadata,
        "files": {name: text for name, text in files.items() if name in names},
        "inputs": inputs,
        "outputs": outputs,
    }


def tensor(name: str, dtype: str, shape: tuple[str | int, ...]) -> dict[str, Any]:
    """Return the description of an input or output; named dimensions have any size."""
    return {"name": name, "dtype": dtype, "shape": list(shape)}


def traced(run: FinishedRun, network: nn.Module, signature: Signature) -> Any:
    """Trace a network on sequences of its task."""
    example = real_batches(run.task, 3, 1)[0]
    return export_program(network, example, signature.zero_state(example.inputs))


def program_on(run: FinishedRun, exports: Exports, device: torch.device) -> nn.Module:
    """Return a program traced on another device: constants in its graph must be there too."""
    network = run.network("torch")[0].to(device)
    return ProgramNetwork(traced(run, network, exports.signature), exports.signature)
