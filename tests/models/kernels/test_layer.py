"""The fused kernel against PyTorch's own cells."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.kernels import compiler as library
from models.kernels.layer import run_layer
from models.modules.recurrent import RecurrentEncoder

needs_kernel = pytest.mark.skipif(
    library.unavailable_reason() is not None, reason=str(library.unavailable_reason())
)

CELLS = ("rnn_tanh", "rnn_relu", "gru", "lstm")

SHAPES = [  # batch, time, features, hidden
    (1, 1, 1, 1),
    (5, 7, 3, 4),
    (13, 20, 40, 70),  # neither rows nor units fill whole tiles and vectors
    (64, 30, 1, 32),
    (3, 5, 2, 129),
]


def torch_layer(cell, features, hidden, dtype):
    options = {"batch_first": True, "dtype": dtype}
    if cell.startswith("rnn"):
        return nn.RNN(features, hidden, nonlinearity=cell.removeprefix("rnn_"), **options)
    return {"lstm": nn.LSTM, "gru": nn.GRU}[cell](features, hidden, **options)


def reversed_within(sequences, lengths):
    steps = torch.arange(sequences.shape[1])
    turned = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    return sequences.gather(1, turned.unsqueeze(-1).expand_as(sequences))


def packed_reference(layer, inputs, lengths, state, backwards):
    """Return PyTorch's results for packed sequences."""
    if lengths is None:
        lengths = torch.full((inputs.shape[0],), inputs.shape[1])
    ahead = reversed_within(inputs, lengths) if backwards else inputs
    packed = pack_padded_sequence(ahead, lengths, batch_first=True, enforce_sorted=False)
    is_lstm = isinstance(layer, nn.LSTM)
    start = None
    if state is not None:
        start = tuple(part[None] for part in state) if is_lstm else state[0][None]
    outputs, final = layer(packed, start)
    outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
    outputs = reversed_within(outputs, lengths) if backwards else outputs
    return outputs, tuple(part[0] for part in (final if is_lstm else (final,)))


def run_alone(cell, inputs, weights, lengths, state, backwards):
    """Return the outputs and final state of a layer of one direction."""
    outputs, (final,) = run_layer(cell, inputs, [weights], lengths, [state], (backwards,))
    return outputs, final


def results_and_gradients(run, leaves, seed):
    outputs, state = run()
    generator = torch.Generator().manual_seed(seed)
    loss = sum(
        (part * torch.randn(part.shape, dtype=part.dtype, generator=generator)).sum()
        for part in (outputs, *state)
    )
    return [outputs, *state, *torch.autograd.grad(loss, leaves)]


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_equal_to_packed_pytorch_in_outputs_states_and_gradients(cell, dtype):
    torch.manual_seed(0)
    for number, (batch, time, features, hidden) in enumerate(SHAPES):
        layer = torch_layer(cell, features, hidden, dtype)
        for variant in range(8):
            backwards, has_lengths, has_state = variant & 1, variant & 2, variant & 4
            inputs = torch.randn(batch, time, features, dtype=dtype, requires_grad=True)
            lengths = torch.randint(1, time + 1, (batch,)) if has_lengths else None
            parts = 2 if cell == "lstm" else 1
            state = tuple(
                torch.randn(batch, hidden, dtype=dtype, requires_grad=True) for _ in range(parts)
            )
            leaves = [inputs, *layer.parameters(), *(state if has_state else ())]
            given = (lengths, state if has_state else None, bool(backwards))
            expected, got = (
                results_and_gradients(run, leaves, number)
                for run in (
                    lambda: packed_reference(layer, inputs, *given),  # noqa: B023  run at once
                    lambda: run_alone(cell, inputs, tuple(layer.all_weights[0]), *given),  # noqa: B023  run at once
                )
            )
            bound = 1e-5 if dtype == torch.float32 else 1e-12
            for one, other in zip(expected, got, strict=True):
                scale = 1 + one.abs().max()
                assert (one - other).abs().max() <= bound * scale


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_gradients_by_finite_differences(cell, backwards):
    torch.manual_seed(1)
    lengths = torch.tensor([4, 2, 3])
    layer = torch_layer(cell, 3, 5, torch.float64)
    # Away from the kink of the relu.
    inputs = torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True)
    state = tuple(
        torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
        for _ in range(2 if cell == "lstm" else 1)
    )
    weights = [w.detach().requires_grad_() for w in layer.all_weights[0]]

    def run(inputs, *rest):
        outputs, final = run_alone(cell, inputs, rest[:4], lengths, rest[4:], backwards)
        return outputs, *final

    assert torch.autograd.gradcheck(run, (inputs, *weights, *state))


@needs_kernel
def test_the_number_of_threads_changes_rounding_only():
    torch.manual_seed(2)
    layer = torch_layer("gru", 6, 20, torch.float64)
    inputs = torch.randn(7, 11, 6, dtype=torch.float64)
    lengths = torch.tensor([11, 1, 5, 11, 3, 8, 2])
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            found.append(
                results_and_gradients(
                    lambda: run_alone(
                        "gru", inputs, tuple(layer.all_weights[0]), lengths, None, False
                    ),
                    list(layer.parameters()),
                    3,
                )
            )
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for one, another in zip(found[0], other, strict=True):
            torch.testing.assert_close(one, another, rtol=1e-12, atol=1e-12)


@needs_kernel
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_whole_encoder_equals_the_one_on_pytorch(cell):
    torch.manual_seed(3)
    fused, own = (
        RecurrentEncoder(4, 9, cell=cell, num_layers=3, bidirectional=True) for _ in range(2)
    )
    own.load_state_dict(fused.state_dict())
    fused.requested_kernel, own.requested_kernel = "fused", "torch"
    inputs = torch.randn(6, 10, 4)
    lengths = torch.tensor([10, 4, 1, 7, 10, 2])
    state = tuple(torch.randn(6, 6, 9) for _ in range(2 if cell == "lstm" else 1))
    found = [
        results_and_gradients(
            lambda: encoder(inputs, lengths, state),  # noqa: B023  run at once
            list(encoder.parameters()),
            4,
        )
        for encoder in (fused, own)
    ]
    assert (fused.kernel, own.kernel) == ("fused", "torch")
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_each_stacked_network_has_its_own_results_and_gradients(cell):
    torch.manual_seed(5)
    layers = [torch_layer(cell, 3, 6, torch.float64) for _ in range(3)]
    inputs = torch.randn(3, 4, 9, 3, dtype=torch.float64)
    lengths = torch.tensor([[9, 2, 4, 1], [3, 9, 9, 5], [1, 1, 2, 9]])
    stacked = tuple(
        torch.stack(list(parts)).detach().requires_grad_()
        for parts in zip(*(layer.all_weights[0] for layer in layers), strict=True)
    )
    joint, _ = run_alone(cell, inputs.flatten(0, 1), stacked, lengths.flatten(), None, False)
    joint.square().sum().backward()
    for number, layer in enumerate(layers):
        weights = tuple(layer.all_weights[0])
        alone, _ = run_alone(cell, inputs[number], weights, lengths[number], None, False)
        alone.square().sum().backward()
        torch.testing.assert_close(joint.view(3, 4, 9, 6)[number], alone)
        for whole, own in zip(stacked, weights, strict=True):
            torch.testing.assert_close(whole.grad[number], own.grad)


@needs_kernel
@pytest.mark.parametrize("groups", [0, 2], ids=["one", "stacked"])
@pytest.mark.parametrize("cell", CELLS)
def test_two_directions_equal_two_layers_side_by_side(cell, groups):
    torch.manual_seed(8)
    batch = 4 * max(1, groups)
    layers = [torch_layer(cell, 3, 5, torch.float64) for _ in range(2 * max(1, groups))]
    weights = [
        tuple(
            (torch.stack(list(parts)) if groups else parts[0]).detach().requires_grad_()
            for parts in zip(*(layer.all_weights[0] for layer in own), strict=True)
        )
        for own in (layers[::2], layers[1::2])
    ]
    inputs = torch.randn(batch, 7, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([7, 2, 4, 1] * max(1, groups))
    states = [
        tuple(
            torch.randn(batch, 5, dtype=torch.float64, requires_grad=True)
            for _ in range(2 if cell == "lstm" else 1)
        )
        for _ in range(2)
    ]

    def both():
        outputs, finals = run_layer(cell, inputs, weights, lengths, states, (False, True))
        return outputs, (*finals[0], *finals[1])

    def each():
        outputs, finals = zip(
            *(
                run_alone(cell, inputs, weights[way], lengths, states[way], bool(way))
                for way in range(2)
            ),
            strict=True,
        )
        return torch.cat(outputs, dim=-1), (*finals[0], *finals[1])

    leaves = [inputs, *weights[0], *weights[1], *states[0], *states[1]]
    for one, other in zip(
        *(results_and_gradients(f, leaves, 9) for f in (both, each)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@needs_kernel
def test_the_padding_is_never_read():
    torch.manual_seed(6)
    layer = torch_layer("lstm", 2, 3, torch.float32)
    inputs = torch.randn(2, 5, 2)
    lengths = torch.tensor([5, 3])
    damaged = inputs.clone()
    damaged[1, 3:] = torch.nan
    weights = tuple(layer.all_weights[0])
    clean, dirty = (
        results_and_gradients(
            lambda: run_alone("lstm", sequences, weights, lengths, None, True),  # noqa: B023  run at once
            list(weights),
            7,
        )
        for sequences in (inputs, damaged)
    )
    for one, other in zip(clean, dirty, strict=True):
        assert torch.equal(one, other)


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_nan_inputs_give_nan_outputs(cell):
    layer = torch_layer(cell, 2, 3, torch.float32)
    inputs = torch.zeros(1, 4, 2)
    inputs[0, 1, 0] = torch.nan
    outputs, _ = run_alone(cell, inputs, tuple(layer.all_weights[0]), None, None, False)
    assert outputs[0, 0].isfinite().all()
    assert outputs[0, 3].isnan().all()


@needs_kernel
@pytest.mark.parametrize("size", [1e-30, 1e-6, 1e-3, 0.3, 0.7, 5.0, 30.0, 1e4, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_activations_are_accurate_at_every_size(size, dtype):
    values = torch.linspace(-size, size, 101, dtype=dtype).reshape(1, 101, 1)
    one, zero = torch.ones(1, 1, dtype=dtype), torch.zeros(1, 1, dtype=dtype)
    none = torch.zeros(1, dtype=dtype)
    outputs, _ = run_alone("rnn_tanh", values, (one, zero, none, none), None, None, False)
    assert torch.allclose(outputs, values.tanh(), rtol=4 * torch.finfo(dtype).eps, atol=0)
    # An LSTM whose output is a sigmoid: other gates are open, the cell state is tanh(1e4) = 1.
    gates = torch.tensor([[0.0], [0.0], [0.0], [1.0]], dtype=dtype)
    bias = torch.tensor([1e4, -1e4, 1e4, 0.0], dtype=dtype)
    recurrent = torch.zeros(4, 1, dtype=dtype)
    weights = (gates, recurrent, bias, torch.zeros_like(bias))
    outputs, _ = run_alone("lstm", values, weights, None, None, False)
    expected = values.sigmoid() * torch.ones((), dtype=dtype).tanh()
    assert torch.allclose(outputs, expected, rtol=1e2 * torch.finfo(dtype).eps, atol=1e-37)


@needs_kernel
def test_autocast_does_not_change_its_precision():
    encoder = RecurrentEncoder(3, 4, cell="gru", kernel="fused")
    inputs = torch.randn(2, 9, 3)
    plain, _ = encoder(inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, _ = encoder(inputs)
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, plain)
