"""A fused layer with unusual strides, shapes and types of its inputs."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.kernels import compiler as library
from models.kernels.layer import run_layer
from models.modules.recurrent import RecurrentEncoder

pytestmark = pytest.mark.skipif(
    library.unavailable_reason() is not None, reason=str(library.unavailable_reason())
)


def encoders(**settings):
    """Return an encoder of each kernel, with equal weights."""
    torch.manual_seed(0)
    fused = RecurrentEncoder(5, 6, cell="gru", **settings)
    own = RecurrentEncoder(5, 6, cell="gru", **settings)
    own.load_state_dict(fused.state_dict())
    fused.requested_kernel, own.requested_kernel = "fused", "torch"
    return fused, own


@pytest.mark.parametrize(
    "rearrange",
    [
        lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
        lambda x: torch.cat([x, x], dim=1)[:, ::2],
        lambda x: x[:1].expand(4, -1, -1),
    ],
    ids=["time first", "features before time", "every other step", "one for all"],
)
def test_inputs_and_gradients_may_have_any_strides(rearrange):
    found = []
    inputs = rearrange(torch.randn(4, 9, 5, generator=torch.Generator().manual_seed(1)))
    weights = rearrange(torch.randn(4, 9, 6, generator=torch.Generator().manual_seed(2))[..., :5])
    for encoder in encoders():
        leaf = inputs.detach().requires_grad_()
        assert leaf.stride() == inputs.stride()
        outputs, state = encoder(leaf)
        (gradient,) = torch.autograd.grad(outputs[..., :5], leaf, weights)
        found.append((outputs, *state, gradient))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_weights_and_states_may_have_any_strides():
    torch.manual_seed(3)
    inputs = torch.randn(3, 8, 4, dtype=torch.float64)
    shapes = ((6, 4), (6, 6), (6,), (6,))
    plain = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    state = torch.randn(3, 6, dtype=torch.float64)
    found = []
    for turn in (lambda x: x, lambda x: x.t().contiguous().t()):
        leaves = [turn(tensor).detach().requires_grad_() for tensor in (*plain, state)]
        outputs, _ = run_layer(
            "rnn_tanh", inputs, [tuple(leaves[:4])], None, [(leaves[4],)], (False,)
        )
        found.append([outputs, *torch.autograd.grad(outputs.square().sum(), leaves)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_shapes_that_do_not_fit_are_refused():
    fused, _ = encoders()
    inputs = torch.zeros(4, 9, 5)
    for given, named in [
        ((torch.zeros(4, 9, 7),), r"inputs \(4, 9, 7\): must be \(batch, time, 5\)"),
        ((inputs, torch.tensor([9, 9, 9])), r"lengths \(3,\): must be \(4,\)"),
        ((inputs, None, (torch.zeros(1, 2, 6),)), r"state \(2, 6\): must be \(4, 6\)"),
        ((inputs, None, (torch.zeros(1, 4, 5),)), r"state \(4, 5\): must be \(4, 6\)"),
    ]:
        with pytest.raises(ValueError, match=named):
            fused(*given)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_types_are_computed_by_pytorch(dtype):
    fused, _ = encoders()
    outputs, _ = fused.to(dtype)(torch.zeros(4, 9, 5, dtype=dtype))
    assert fused.kernel == "torch"
    assert outputs.dtype == dtype


def test_a_second_derivative_is_refused():
    fused, _ = encoders()
    inputs = torch.randn(2, 9, 5, requires_grad=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(fused(inputs)[0].sum(), inputs, create_graph=True)


OUT_OF_MEMORY = """
import resource, torch
from models.kernels.layer import run_layer
torch.set_num_threads(2)
def weights(features):
    return [tuple(torch.zeros(shape) for shape in ((1, features), (1, 1), (1,), (1,)))]
def run(inputs):
    return run_layer("rnn_tanh", inputs, weights(inputs.shape[-1]), None, [None], (False,))
run(torch.zeros(4, 64, 2))  # starts both threads
inputs = torch.zeros(4, 64, 200_000)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 60 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    run(inputs)
except MemoryError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="requires a memory limit of Linux")
def test_missing_memory_in_a_thread_raises_memory_error():
    ended = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY],
        cwd=Path(library.SOURCE).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "the fused kernel's forward_float32 ran out of memory\n"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [128, 129, 300])
def test_many_rows_are_computed_in_parts(batch, threads):
    torch.set_num_threads(threads)
    draw = torch.Generator().manual_seed(4)
    inputs = torch.randn(batch, 5, 5, generator=draw, dtype=torch.float64)
    lengths = torch.randint(0, 6, (batch,), generator=draw)
    found = []
    for encoder in encoders(bidirectional=True):
        encoder.double()
        outputs, _ = encoder(inputs, lengths, need_state=False)
        outputs.square().sum().backward()
        found.append([outputs, *(p.grad for p in encoder.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
