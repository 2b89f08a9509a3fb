"""A finished run's network as files for other programs, each proved equal before it is kept."""

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

from benchmarks.export.onnx_network import onnx_model
from benchmarks.export.runtimes import ExportedNetwork, OnnxNetwork, ProgramNetwork
from benchmarks.export.signature import Signature, real_batches
from benchmarks.export.torch_program import export_program
from benchmarks.export.verification import largest_difference
from benchmarks.runner.load_run import FinishedRun

ONNX = "model.onnx"
INT8 = "model.int8.onnx"
PROGRAM = "model.pt2"
DESCRIPTION = "inputs.json"
MIB = 2**20


@dataclass(frozen=True)
class Exports:
    """What was written.

    Attributes:
        folder: where.
        signature: of the network.
        networks: as they were loaded from the files, by file name.
        differences: largest, from the network, of those that must equal it, by file name.
        others: names of the files that say how to use them.
    """

    folder: Path
    signature: Signature
    networks: dict[str, ExportedNetwork]
    differences: dict[str, float]
    others: list[str]

    def mib(self, name: str) -> float:
        """Size of a file."""
        return (self.folder / name).stat().st_size / MIB


def export_run(run: FinishedRun, folder: Path, threads: int) -> Exports:
    """Export a network, load what was written and compare it with the network.

    Args:
        run: whose network.
        folder: made if it is not there; files get their names when all of them are proved.
        threads: of ONNX Runtime.

    Raises:
        UserError: the network has no ONNX form.
        UnequalError: an exported network is not the network; nothing was kept.
    """
    network, _ = run.network("torch")
    example = real_batches(run.task, 3, 1)[0]
    signature = Signature.of(network, example)
    facts = {
        "run": run.row["run_id"],
        "model": run.row["model"],
        "task": run.row["task"],
        "rnnbench": version("rnnbench"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder, prefix=".export-"))
    try:
        program = export_program(network, example, signature.zero_state(example.inputs))
        torch.export.save(program, draft / PROGRAM)
        loaded: dict[str, ExportedNetwork] = {
            PROGRAM: ProgramNetwork(torch.export.load(draft / PROGRAM), signature)
        }
        for name in (ONNX, INT8):
            model = onnx_model(network, signature, name == INT8, facts)
            (draft / name).write_bytes(model.SerializeToString())
            loaded[name] = OnnxNetwork(draft / name, signature, threads)
        onnx.checker.check_model(draft / ONNX, full_check=True)
        differences = {
            name: largest_difference(name, loaded[name], network, run.task)
            for name in (ONNX, PROGRAM)
        }
        description, files = described(run, signature, facts)
        text = json.dumps(description, indent=2, ensure_ascii=False)
        files = {DESCRIPTION: f"{text}\n", **files}
        for name, content in files.items():
            (draft / name).write_text(content, encoding="utf-8")
        for path in sorted(draft.iterdir()):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Exports(folder, signature, loaded, differences, list(files))


def described(
    run: FinishedRun, signature: Signature, facts: dict[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Say what must be known to use the files without this project.

    Returns:
        The content of `inputs.json`, and the texts of other files by name.
    """
    preprocessing, files = run.task.preprocessing()
    dtype = str(signature.input_dtype).removeprefix("torch.")
    names, given = signature.state_names(), ["inputs"]
    inputs = [tensor("inputs", dtype, ("batch", "time", *signature.input_shape))]
    outputs = [tensor("outputs", "float32", signature.output_shape)]
    if signature.has_lengths:
        inputs.append(tensor("lengths", "int64", ("batch",)))
        given.append("lengths")
    for name, (rows, hidden) in zip(names, signature.states, strict=True):
        shape = (rows, "batch", hidden)
        inputs.append(tensor(name, "float32", shape))
        outputs.append(tensor(f"new_{name}", "float32", shape))
    if names:
        given.append(f"({', '.join(names)},)" if len(names) == 1 else f"({', '.join(names)})")
    return {
        **facts,
        "files": {
            ONNX: "float32, standard operations of ONNX alone",
            INT8: "weights of int8; for an LSTM with an operation of ONNX Runtime, whose weights "
            "are in [-64, 64], so that integer sums do not saturate on CPUs without VNNI",
            PROGRAM: f"torch.export.load({PROGRAM!r}).module()({', '.join(given)})",
        },
        "inputs": inputs,
        "outputs": outputs,
        "preprocessing": preprocessing,
    }, files


def tensor(name: str, dtype: str, shape: tuple[str | int, ...]) -> dict[str, Any]:
    """Describe an input or output; words in a shape are of any size."""
    return {"name": name, "dtype": dtype, "shape": list(shape)}


def on_device(run: FinishedRun, exports: Exports, device: torch.device) -> ExportedNetwork:
    """The program for another device, on which constants in its graph must lie too."""
    network, _ = run.network("torch")
    example = real_batches(run.task, 3, 1)[0]
    state = exports.signature.zero_state(example.inputs)
    program = export_program(network.to(device), example, state)
    return ProgramNetwork(program, exports.signature)
