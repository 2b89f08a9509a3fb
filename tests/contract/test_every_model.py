"""The contract of encoders, checked for every model with a YAML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from benchmarks.training.network import build_network
from models.modules.encoder import Encoder, State
from tasks.base import Task
from tests.helpers.definitions import MODELS, TASKS, composed, is_bidirectional, is_causal
from tests.helpers.toys import trainer_of

FREE_TASK = next(task for task in TASKS if not is_causal(task))
DEPTHS = [1, 2]
"""Multiples of a model's own number of layers."""
VARIANTS: dict[str | None, dict[str, Any]] = {
    None: {},
    "bare": {"block": "bare"},
    "residual": {"block": "residual"},
    "both": {"block": "bare", "bidirectional": True},
}
CASES = [
    (model, variant)
    for model in MODELS
    for variant in VARIANTS
    if variant is not None
    if variant != "both" or not is_bidirectional(model)
]
ONE_WAY = [case for case in CASES if case[1] != "both" and not is_bidirectional(case[0])]


def build(
    model: str,
    depth: int = 1,
    variant: str | None = None,
    hidden_size: int = 8,
    num_layers: int | None = None,
) -> Any:
    own = composed(model, FREE_TASK).model
    settings = dataclasses.replace(
        own,
        num_layers=num_layers or depth * own.num_layers,
        hidden_size=hidden_size,
        **VARIANTS[variant],
    )
    settings.check()
    torch.manual_seed(0)
    return settings.build(5).eval()


@pytest.mark.parametrize(("model", "variant"), CASES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_shapes(model: str, depth: int, variant: str) -> None:
    encoder = build(model, depth, variant)
    outputs, state = encoder(torch.randn(3, 7, 5), torch.tensor([7, 2, 4]))
    assert outputs.shape == (3, 7, encoder.output_size)
    assert isinstance(state, tuple)
    assert encoder.flops_per_token() > 0


@pytest.mark.parametrize(("model", "variant"), CASES)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("lengths", [None, torch.tensor([7, 2, 4])], ids=["full", "lengths"])
def test_last_outputs_are_the_same_from_outputs_and_from_the_state(
    model: str, depth: int, variant: str, lengths: Tensor | None
) -> None:
    encoder = build(model, depth, variant)
    outputs, state = encoder(torch.randn(3, 7, 5), lengths)
    last = encoder.last_outputs(outputs, lengths)
    assert last.shape == (3, encoder.output_size)
    assert torch.equal(last, encoder.last_outputs(outputs, lengths, state))


@pytest.mark.parametrize(("model", "variant"), CASES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_padding_changes_nothing(model: str, depth: int, variant: str) -> None:
    """A sequence has the same results alone and in a batch, with any values in the padding."""
    encoder = build(model, depth, variant)
    lengths = torch.tensor([9, 3, 1])
    inputs = torch.randn(3, 9, 5)
    outputs, state = encoder(inputs, lengths)
    other = inputs.clone()
    other[1, 3:], other[2, 1:] = 7.0, -3.0
    other_outputs, other_state = encoder(other, lengths)
    torch.testing.assert_close(outputs, other_outputs)
    for part, other_part in zip(state, other_state, strict=True):
        torch.testing.assert_close(part, other_part)
    for i, length in enumerate(lengths.tolist()):
        assert not outputs[i, length:].any()
        alone, alone_state = encoder(inputs[i : i + 1, :length])
        torch.testing.assert_close(outputs[i : i + 1, :length], alone, atol=1e-6, rtol=1e-5)
        for part, alone_part in zip(state, alone_state, strict=True):
            torch.testing.assert_close(part[:, i : i + 1], alone_part, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("model", "variant"), CASES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_sequence_without_steps_changes_nothing(model: str, depth: int, variant: str) -> None:
    """Without the state, a length may be 0."""
    encoder = build(model, depth, variant)
    inputs = torch.randn(3, 9, 5, requires_grad=True)
    outputs, _ = encoder(inputs, torch.tensor([9, 0, 4]), need_state=False)
    assert not outputs[1].any()
    others, _ = encoder(inputs[::2], torch.tensor([9, 4]), need_state=False)
    torch.testing.assert_close(outputs[::2], others)
    outputs.square().sum().backward()
    assert inputs.grad is not None
    assert not inputs.grad[1].any()
    assert inputs.grad.isfinite().all()


@pytest.mark.parametrize(("model", "variant"), CASES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_padding_gets_no_gradient(model: str, depth: int, variant: str) -> None:
    encoder = build(model, depth, variant)
    inputs = torch.randn(2, 6, 5, requires_grad=True)
    outputs, _ = encoder(inputs, torch.tensor([6, 2]), need_state=False)
    outputs.square().sum().backward()
    assert inputs.grad is not None
    assert not inputs.grad[1, 2:].any()
    assert inputs.grad[1, :2].any()


@pytest.mark.parametrize(("model", "variant"), CASES)
def test_only_bidirectional_models_read_ahead(model: str, variant: str) -> None:
    encoder = build(model, 2, variant)
    inputs = torch.randn(1, 8, 5)
    changed = inputs.clone()
    changed[:, 5:] += 1
    before, after = encoder(inputs)[0], encoder(changed)[0]
    reads_ahead = variant == "both" or is_bidirectional(model)
    assert torch.equal(before[:, :5], after[:, :5]) != reads_ahead
    assert not torch.allclose(before[:, 5:], after[:, 5:])


@pytest.mark.parametrize(("model", "variant"), ONE_WAY)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("cut", [1, 4, 9])
def test_state_carried_over_equals_one_pass(model: str, depth: int, variant: str, cut: int) -> None:
    encoder = build(model, depth, variant)
    inputs = torch.randn(3, 10, 5)
    whole, final = encoder(inputs)
    first, state = encoder(inputs[:, :cut])
    second, last = encoder(inputs[:, cut:], None, state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-6, rtol=1e-5)
    for part, other in zip(last, final, strict=True):
        torch.testing.assert_close(part, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("model", [model for model, variant in ONE_WAY if variant == "bare"])
def test_single_steps_equal_one_pass(model: str) -> None:
    encoder, inputs = build(model, variant="bare"), torch.randn(2, 1000, 5)
    steps, state = [], None
    with torch.inference_mode():
        for step in inputs.split(1, dim=1):
            output, state = encoder(step, None, state)
            steps.append(output)
        for time in (1, 2, 257, 1000):
            whole, _ = encoder(inputs[:, :time])
            one_by_one = torch.cat(steps[:time], 1)
            torch.testing.assert_close(one_by_one, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("model", "variant"), CASES)
def test_lengths_of_one_and_of_300_in_a_batch(model: str, variant: str) -> None:
    encoder = build(model, 1, variant)
    inputs = torch.randn(2, 300, 5, requires_grad=True)
    outputs, _ = encoder(inputs, torch.tensor([1, 300]), need_state=False)
    for row, length in enumerate((1, 300)):
        alone, _ = encoder(inputs[row : row + 1, :length])
        torch.testing.assert_close(outputs[row : row + 1, :length], alone, atol=1e-5, rtol=1e-5)
    outputs.square().sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()
    assert not inputs.grad[0, 1:].any()


@pytest.mark.parametrize(("model", "variant"), CASES)
@pytest.mark.parametrize("size", [40, 4000])
def test_saturated_gates_are_finite(model: str, variant: str, size: float) -> None:
    """One layer of each cell: outputs of a Mamba layer grow with the fifth power of its inputs."""
    layers = getattr(composed(model, FREE_TASK).model, "layers", [model])
    encoder = build(model, 1, variant, num_layers=len(layers))
    inputs = (size * torch.randn(2, 40, 5).sign()).requires_grad_()
    outputs, state = encoder(inputs)
    assert outputs.isfinite().all()
    assert all(part.isfinite().all() for part in state)
    outputs.square().mean().backward()
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(("model", "variant"), CASES)
def test_gradient_reaches_every_parameter(model: str, variant: str) -> None:
    encoder = build(model, 2, variant)
    # Long enough for levels that read whole chunks of steps only.
    encoder(torch.randn(4, 160, 5), torch.tensor([160, 155, 2, 3]))[0].square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("model", MODELS)
def test_the_random_seed_determines_the_initialisation(model: str) -> None:
    first, second = build(model), build(model)
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    torch.manual_seed(1)
    settings = dataclasses.replace(composed(model, FREE_TASK).model, hidden_size=8)
    third = settings.build(5)
    assert not all(map(torch.equal, first.parameters(), third.parameters()))


def streams(model: str, task: Task, seed: int = 0, **seeds: int) -> dict[str, Any]:
    """Return the first numbers of each random stream of a training."""
    config = composed(model, FREE_TASK)
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, hidden_size=8),
        train=dataclasses.replace(config.train, **seeds),
        seed=seed,
    )
    network, _ = build_network(config, task, torch.device("cpu"))
    trainer = trainer_of(config, network, task)
    trainer.streams.seed_dropout()
    return {
        "weights": torch.cat([p.detach().flatten() for p in network.parameters()]).tolist(),
        "order": [next(trainer.training_batches(epoch)).items.tolist() for epoch in range(2)],
        "dropout": torch.rand(3).tolist(),
    }


@pytest.mark.parametrize("model", MODELS)
def test_a_fixed_stream_stays_when_the_seed_changes(
    model: str, loaded: Callable[[str], Task]
) -> None:
    task = loaded(FREE_TASK)
    plain = [streams(model, task, seed) for seed in (1, 2)]
    assert not [name for name in plain[0] if plain[0][name] == plain[1][name]]
    same_weights = streams(model, task, 2, init_seed=1)
    assert same_weights == plain[1] | {"weights": plain[0]["weights"]}
    same_order = streams(model, task, 2, order_seed=1)
    assert same_order == plain[0] | {"weights": plain[1]["weights"]}
    assert streams(model, task, init_seed=1, order_seed=2) == same_weights


@pytest.mark.parametrize("model", MODELS)
def test_weights_survive_safetensors(model: str) -> None:
    encoder, other = build(model, 2), build(model, 2)
    for parameter in other.parameters():
        parameter.data.zero_()
    other.load_state_dict(load(save(encoder.state_dict())))
    inputs = torch.randn(2, 5, 5)
    assert torch.equal(encoder(inputs)[0], other(inputs)[0])


@pytest.mark.parametrize("model", MODELS)
def test_overfits_a_batch_of_eight(model: str) -> None:
    """Random labels of random sequences require memory of the whole sequence."""
    encoder = build(model, hidden_size=32)
    head = nn.Linear(encoder.output_size, 1)
    inputs, lengths = torch.randn(8, 10, 5), torch.tensor([10, 3, 7, 10, 5, 9, 2, 8])
    labels = torch.tensor([0.0, 1, 1, 0, 1, 0, 0, 1])
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-2)

    for _ in range(150):
        optimizer.zero_grad()
        outputs, _ = encoder(inputs, lengths, need_state=False)
        logits = head(encoder.last_outputs(outputs, lengths)).squeeze(-1)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels)
        if loss < 0.05:
            return
        loss.backward()
        optimizer.step()
    pytest.fail(f"the loss is {loss.item()} after 150 steps")


@pytest.mark.parametrize("model", MODELS)
def test_the_label_is_the_name_on_the_command_line(model: str) -> None:
    assert composed(model, FREE_TASK).model.label == model


# --- the meta device, on which mixed devices raise: it replaces a GPU


def step_on_meta(encoder: Any, lengths: Tensor | None) -> None:
    """Run forward and backward with all tensors on the meta device; then carry the state over."""
    encoder.to("meta").train()
    inputs = torch.randn(3, 3, 5, device="meta", requires_grad=True)
    lengths = None if lengths is None else lengths.to("meta")
    outputs, state = encoder(inputs, lengths)
    last = encoder.last_outputs(outputs, lengths)
    assert outputs.shape == (3, 3, encoder.output_size)
    (outputs.sum() + last.sum()).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.is_meta, name
    start = tuple(part.detach() for part in state)
    outputs, state = encoder(inputs, lengths, start)
    encoder.last_outputs(outputs, lengths, state).sum().backward()


@pytest.mark.parametrize(("model", "variant"), CASES)
@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 1, 2])], ids=["full", "lengths"])
def test_a_step_uses_the_device_of_its_inputs(
    model: str, variant: str, lengths: Tensor | None
) -> None:
    layers = getattr(composed(model, FREE_TASK).model, "layers", [])
    step_on_meta(build(model, variant=variant, num_layers=max(2, len(layers))), lengths)


class MixedDevices(Encoder):
    """An encoder that creates a mask on the default device."""

    def __init__(self, mistake: str) -> None:
        super().__init__()
        self.output_size, self.mistake = 8, mistake
        self.projection = nn.Linear(5, 8)

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        batch, time, _ = inputs.shape
        devices = {name: inputs.device for name in ("arange", "full") if name != self.mistake}
        if lengths is None:
            lengths = torch.full((batch,), time, device=devices.get("full"))
        steps = torch.arange(time, device=devices.get("arange"))
        outputs = self.projection(inputs) * (steps < lengths[:, None]).unsqueeze(-1)
        return outputs, (outputs[None, :, -1],)

    def flops_per_token(self) -> int:
        return 2 * self.projection.weight.numel()


@pytest.mark.parametrize("mistake", ["arange", "full"])
def test_the_step_on_meta_detects_a_tensor_on_the_default_device(mistake: str) -> None:
    step_on_meta(MixedDevices("none"), None)
    with pytest.raises(RuntimeError, match="device"):
        step_on_meta(MixedDevices(mistake), None)
