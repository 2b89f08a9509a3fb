"""Exported networks equal the networks; what is not equal is found out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from benchmarks.errors import UserError
from benchmarks.export import onnx_network
from benchmarks.export.benchmark import Form, fastest_text, int8_texts
from benchmarks.export.onnx_graph import as_int8
from benchmarks.export.onnx_network import onnx_model
from benchmarks.export.runtimes import OnnxNetwork, ProgramNetwork
from benchmarks.export.signature import Signature, collate, cut, real_batches
from benchmarks.export.timing import Speed, speed_of
from benchmarks.export.torch_program import export_program
from benchmarks.export.verification import UnequalError, difference, largest_difference
from tasks.base import Batch, Metric, Task
from tests.helpers.built_networks import FEATURES, Sequences, built


def exported(network: nn.Module, task: Task, path: Path) -> tuple[OnnxNetwork, ProgramNetwork]:
    """Return a network as ONNX and as a program, each loaded from a file."""
    example = real_batches(task, 3, 1)[0]
    signature = Signature.of(network, example)
    model = onnx_model(network, signature, False, {"run": "none"})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    program = export_program(network, example, signature.zero_state(example.inputs))
    torch.export.save(program, path.with_suffix(".pt2"))
    loaded = torch.export.load(path.with_suffix(".pt2"))
    return OnnxNetwork(path, signature, 1), ProgramNetwork(loaded, signature)


SHAPES = [
    ("text", "mean_max", {"cell": "lstm", "bidirectional": True, "num_layers": 2}),
    ("text", "last", {"cell": "gru", "bidirectional": True, "num_layers": 2}),
    ("text", "mean", {"cell": "rnn", "bidirectional": True, "nonlinearity": "relu"}),
    ("text", "max", {"cell": "gru"}),
    ("text", "last", {"cell": "lstm"}),
    ("text", "mean_max", {"cell": "lstm", "bidirectional": True, "num_layers": 2, "chop": 4}),
    ("text", "mean", {"cell": "gru", "bidirectional": True, "chop": 1}),
    ("text", "max", {"cell": "rnn", "nonlinearity": "relu", "chop": 100}),
    ("text", "attention", {"cell": "gru", "bidirectional": True}),
    ("text", "max_attention", {"cell": "lstm", "chop": 4}),
    ("stream", "", {"cell": "lstm", "num_layers": 2}),
    ("stream", "", {"cell": "gru", "num_layers": 2}),
    ("stream", "", {"cell": "rnn"}),
    ("stream", "", {"cell": "gru", "num_layers": 2, "residual": True}),
    ("tied", "", {"cell": "lstm", "hidden_size": FEATURES}),
    ("text", "mean_max", {"cell": "gru", "num_layers": 2, "residual": True}),
    ("text", "last", {"cell": "lstm", "bidirectional": True, "num_layers": 3, "residual": True}),
    ("text", "max", {"cell": "region", "bidirectional": True, "table": True, "chop": 4}),
    ("text", "last", {"cell": "region", "num_layers": 2}),
    ("text", "mean", {"cell": "gru", "bidirectional": True, "table": True}),
    ("stream", "", {"cell": "region", "table": True, "num_layers": 2}),
    ("windows", "", {"cell": "region"}),
    ("windows", "", {"cell": "lstm"}),
    ("windows", "", {"cell": "gru", "bidirectional": True, "num_layers": 2}),
    ("windows", "", {"cell": "rnn", "bidirectional": True}),
]


@pytest.mark.parametrize(
    ("kind", "pooling", "settings"), SHAPES, ids=lambda part: str(part).replace("'", "")
)
def test_exports_equal_the_network(
    kind: str, pooling: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    network, task = built(kind, pooling, **settings)
    for form in exported(network, task, tmp_path / "m.onnx"):
        assert largest_difference("it", form, network, task) < 1e-5


def test_a_wrong_gate_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, task = built("text", cell="lstm")
    monkeypatch.setitem(onnx_network.GATES, "LSTM", (0, 3, 2, 1))
    form, _ = exported(network, task, tmp_path / "m.onnx")
    with pytest.raises(
        UnequalError, match=r"^it, 1 sequences of \d+ steps: differs from the network by"
    ):
        largest_difference("it", form, network, task)


@pytest.mark.parametrize("part", ["outputs", "state"])
def test_a_state_that_is_not_carried_is_detected(part: str) -> None:
    """A program may be correct for the first call of a stream only."""
    network, task = built("stream", cell="lstm")

    class Forgetful(nn.Module):
        def forward(self, inputs: torch.Tensor, lengths: None, state: Any) -> Any:
            if part == "outputs":
                return network(inputs, None, None)
            outputs, (hidden, cell) = network(inputs, None, state)
            return outputs, (hidden, cell + (1e-2 if inputs.shape[1] == 1 else 0.0))

    with pytest.raises(UnequalError, match=r"one at a time|1 steps"):
        largest_difference("it", Forgetful(), network, task)


def test_a_difference_in_any_value_is_reported() -> None:
    ones = torch.ones(3)
    assert difference("it", (ones, None), (ones + 1e-6, None)) == pytest.approx(1e-6, rel=0.1)
    # Rounding of large outputs is allowed.
    assert difference("it", (1000 * ones, None), (1000 * ones + 0.01, None)) > 5e-3
    for other in (ones + 1e-3, ones * float("nan"), torch.ones(3, 1), torch.ones(1)):
        with pytest.raises(UnequalError, match=r"^it: "):
            difference("it", (other, None), (ones, None))
    with pytest.raises(UnequalError):
        difference("it", (ones, (ones + 1e-3,)), (ones, (ones,)))


def test_an_unknown_network_or_encoder_is_refused() -> None:
    network, task = built("windows")
    signature = Signature.of(network, real_batches(task, 2, 1)[0])
    other = nn.Module()
    other.encoder = network.encoder
    with pytest.raises(UserError, match="no ONNX form of the network Module"):
        onnx_model(other, signature, False, {})
    network.encoder = nn.GRU(2, 2)
    with pytest.raises(UserError, match="no ONNX form of the encoder GRU"):
        onnx_model(network, signature, False, {})


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_int8_is_close_and_small(cell: str, tmp_path: Path) -> None:
    network, task = built("text", cell=cell, bidirectional=True, hidden_size=64)
    batch = real_batches(task, 5, 1)[0]
    signature = Signature.of(network, batch)
    found = {}
    for is_int8 in (False, True):
        path = tmp_path / f"{is_int8}.onnx"
        model = onnx_model(network, signature, is_int8, {})
        path.write_bytes(model.SerializeToString())
        output = OnnxNetwork(path, signature, 1)(batch.inputs, batch.lengths, None)[0]
        found[is_int8] = (path.stat().st_size, output, {node.op_type for node in model.graph.node})
    size, wanted, _ = found[False]
    small, output, nodes = found[True]
    assert small < 0.4 * size
    assert 0 < float((output - wanted).abs().max()) < 0.1 * float(wanted.abs().max())
    # Only for LSTMs does ONNX Runtime have int8 arithmetic.
    assert ("DynamicQuantizeLSTM" in nodes) == (cell == "lstm")
    assert ({"lstm": "LSTM"}.get(cell, cell.upper()) in nodes) == (cell != "lstm")


def test_int8_saves_more_the_wider_the_layers() -> None:
    parts = []
    for hidden_size in (4, 64, 256):
        network, task = built("windows", cell="gru", hidden_size=hidden_size)
        signature = Signature.of(network, real_batches(task, 2, 1)[0])
        whole, small = (
            len(onnx_model(network, signature, is_int8, {}).SerializeToString())
            for is_int8 in (False, True)
        )
        parts.append(small / whole)
    assert parts[0] > 1 > parts[1] > parts[2] > 0.25
    assert parts[2] < 0.28


def test_int8_rounds_each_row_by_its_own_scale() -> None:
    matrix = np.array([[1.0, -0.5], [1e-4, 0.6e-4], [0.0, 0.0]], np.float32)
    whole, scales = as_int8(matrix)
    assert whole.tolist()[:2] == [[127, -64], [127, 76]]
    assert (np.abs(whole * scales[:, None] - matrix) <= 0.5001 * scales[:, None]).all()
    assert whole[2].tolist() == [0, 0]
    assert np.isfinite(scales).all()


def test_a_program_needs_only_torch(tmp_path: Path) -> None:
    network, task = built("stream", cell="lstm")
    exported(network, task, tmp_path / "m.onnx")
    inputs = torch.arange(6).view(2, 3)
    state = tuple(torch.full((1, 2, 7), value) for value in (0.1, -0.2))
    outputs, (_, cell) = network(inputs, None, state)
    torch.save((inputs, state, outputs.detach(), cell.detach()), tmp_path / "known.pt")
    program = (
        "import sys, torch\n"
        "inputs, state, outputs, cell = torch.load('known.pt')\n"
        "run = torch.export.load('m.pt2').module()\n"
        "found, (_, new) = run(inputs, state)\n"
        "torch.testing.assert_close(found, outputs)\n"
        "torch.testing.assert_close(new, cell)\n"
        "assert not {'benchmarks', 'models', 'tasks'} & set(sys.modules)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


class Loop(nn.Module):
    """A network with a loop over the steps."""

    def forward(self, inputs: torch.Tensor, *_: Any) -> Any:
        total = inputs[:, 0]
        for step in range(1, inputs.shape[1]):
            total = total + inputs[:, step]
        return total, None


def test_a_loop_over_steps_is_refused_in_one_line() -> None:
    example = Batch(torch.ones(2, 3, 4), torch.zeros(2), 6, torch.arange(2))
    with pytest.raises(UserError, match="cannot be exported for sequences of any length") as caught:
        export_program(Loop(), example, None)
    assert len(str(caught.value).splitlines()) == 1


def test_a_program_traced_with_one_step_accepts_more() -> None:
    network, task = built("stream", cell="gru")
    example = cut(real_batches(task, 2, 1)[0], 1)
    signature = Signature.of(network, example)
    program = export_program(network, example, signature.zero_state(example.inputs))
    form = ProgramNetwork(program, signature)
    assert largest_difference("it", form, network, task) < 1e-5


ACCURACY = Metric("accuracy", "share", higher_is_better=True, perfect=1.0)
RMSE = Metric("rmse", "points", higher_is_better=False, perfect=0.0)


def form_of(name: str, mib: float, score: float, milliseconds: dict[int, float]) -> Form:
    rates = {size: size / (1e-3 * time) for size, time in milliseconds.items()}
    speeds = {size: Speed(9, milliseconds[size], 99.0, rates[size], 1.0) for size in rates}
    return Form(name, mib, None, score, speeds)


def test_conclusions_about_the_fastest_form_and_int8() -> None:
    whole = form_of("ONNX Runtime", 4.0, 0.9, {1: 2.0, 512: 100.0})
    int8 = form_of("ONNX Runtime, int8", 1.0, 0.875, {1: 1.0, 512: 150.0})
    forms = [form_of("PyTorch", 4.0, 0.9, {1: 4.0, 512: 90.0}), whole, int8]
    assert fastest_text(forms, 1) == (
        "one sequence: ONNX Runtime, int8 is fastest, 1.000 ms (p50), 4.00 times as fast as PyTorch"
    )
    assert fastest_text(forms, 512) == (
        "512 sequences at once: PyTorch is fastest, 5,689 sequences/s"
    )
    costs, checked, differs = int8_texts(whole, int8, ACCURACY, is_lstm=True)
    assert costs == (
        "int8: 0.25 of the file (4.000 to 1.000 MiB), 0.50 of the p50 of one sequence and 1.50 of "
        "the time of 512; validation accuracy 0.9 to 0.875, worse by 0.025"
    )
    assert "do not saturate on x86 CPUs with or without VNNI (checked)" in checked
    assert "may differ in the last digits between CPUs, batch sizes and numbers of thr" in differs
    assert "other CPUs than x86 were not checked" in differs
    assert int8_texts(whole, int8, RMSE, is_lstm=True)[0].endswith(", better by 0.025")
    (costs,) = int8_texts(whole, whole, RMSE, is_lstm=False)
    assert "validation rmse 0.9 to 0.9, unchanged; its arithmetic is float32" in costs


def test_batch_1_is_compared_by_latency_and_larger_batches_by_throughput() -> None:
    """If lengths differ, one form may have the better p50 and another the throughput."""
    forms = [
        Form("PyTorch", 1.0, None, 0.5, {n: Speed(9, 4.0, 9.0, 100.0, 1.0) for n in (1, 8)}),
        Form("usual", 1.0, None, 0.5, {n: Speed(9, 2.0, 9.0, 110.0, 1.0) for n in (1, 8)}),
        Form("long", 1.0, None, 0.5, {n: Speed(9, 3.0, 9.0, 300.0, 1.0) for n in (1, 8)}),
    ]
    assert fastest_text(forms, 1) == (
        "one sequence: usual is fastest, 2.000 ms (p50), 2.00 times as fast as PyTorch"
    )
    assert fastest_text(forms, 8) == (
        "8 sequences at once: long is fastest, 300 sequences/s, 3.00 times as fast as PyTorch"
    )


def test_sequences_are_padded_and_cut() -> None:
    singles = list(Sequences("text").single_sequences(4))
    batch = collate(singles)
    assert batch.lengths is not None
    assert batch.inputs.shape == (4, 13)
    assert batch.lengths.tolist() == [single.inputs.shape[1] for single in singles]
    assert batch.tokens == int(batch.lengths.sum())
    for row, single in zip(batch.inputs, singles, strict=True):
        assert row[: single.tokens].equal(single.inputs[0])
        assert not row[single.tokens :].any()
    short = cut(batch, 2)
    assert short.lengths is not None
    assert short.inputs.equal(batch.inputs[:, :2])
    assert short.lengths.tolist() == [min(2, length) for length in batch.lengths.tolist()]
    windows = collate(list(Sequences("windows").single_sequences(2)))
    assert windows.inputs.shape == (2, 12, FEATURES)


def test_throughput_uses_the_median_call_of_each_batch() -> None:
    batches = [Batch(torch.zeros(2, 3), torch.zeros(2), 5, torch.zeros(2))] * 2
    times = np.array([[0.1, 0.3], [0.1, 0.3], [9.0, 0.3]])  # one call was disturbed
    speed = speed_of(times, batches)
    assert speed == Speed(6, 300.0, pytest.approx(6825.0), pytest.approx(10), pytest.approx(25))
