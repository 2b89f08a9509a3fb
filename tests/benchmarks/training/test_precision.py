"""Precision: refusals, tensors that stay float32, and scores at lower precision."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from benchmarks.config.fingerprint import arm, fingerprint
from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.config.validation import checked_config
from benchmarks.errors import UserError
from benchmarks.results.row import Row
from benchmarks.results.store import Store
from benchmarks.runner.run import RunOptions, prepare, run
from benchmarks.system.disk_cache import DiskCache
from benchmarks.system.signals import Interruption
from benchmarks.training.evaluation import evaluate
from benchmarks.training.latency import latencies_ms
from benchmarks.training.precision import use_precision
from benchmarks.training.seeding import SeedStreams
from benchmarks.training.trainer import Trainer
from scripts.perf.pairs import trainer_of
from tasks.base import Batch, Task
from tests.helpers.paths import ROOT

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
TASKS = {
    "sp500": ["model=gru"],
    "shakespeare": ["model=lstm", "task.sample_chars=20"],
    "imdb": ["model=birnn", "task.source=bundled", "task.max_length=60"],
}
PRECISIONS = ("highest", "bfloat16")


@pytest.fixture(autouse=True)
def _process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    deterministic = torch.get_deterministic_debug_mode()
    flags = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    yield
    torch.set_deterministic_debug_mode(deterministic)
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = flags


@cache
def composed(*overrides: str) -> Config:
    register_schemas()
    machine = ["train.device=cpu", "train.threads=1"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return checked_config(compose("config", overrides=[*machine, *overrides]))


def config_of(task: str, precision: str, *more: str) -> Config:
    return composed(f"task={task}", *TASKS[task], f"train.precision={precision}", *more)


@pytest.fixture(scope="module")
def load(shared_cache: Path) -> Any:
    @cache
    def load(name: str) -> Task:
        task = config_of(name, "highest").task.load(DiskCache(shared_cache))
        task.to(CPU, torch.float32)
        return task

    return load


# Identity and refusals


def test_the_precision_changes_the_fingerprint(load: Any) -> None:
    data = load("sp500").data
    one, other = (config_of("sp500", precision) for precision in PRECISIONS)
    assert fingerprint(one, data, "cpu") != fingerprint(other, data, "cpu")
    assert arm(one, data) != arm(other, data)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_lower_precision_requires_float32(precision: str) -> None:
    wanted = f"train.precision={precision}: requires train.dtype=float32, not float64"
    with pytest.raises(UserError, match=wanted):
        config_of("sp500", precision, "train.dtype=float64")


@pytest.mark.parametrize(
    ("precision", "device", "message"),
    [
        ("tf32", "cpu", r"requires a CUDA device, not cpu \(allowed there: highest, bfloat16\)"),
        ("tf32", "mps", r"requires a CUDA device, not mps \(allowed there: highest\)"),
        ("bfloat16", "mps", r"requires cpu or cuda, not mps \(allowed there: highest\)"),
    ],
)
def test_an_unsupported_device_is_refused(precision: str, device: str, message: str) -> None:
    with pytest.raises(UserError, match=f"train.precision={precision}: {message}"):
        use_precision(precision, torch.device(device))


def test_the_precision_is_checked_before_data_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of("sp500", "tf32")
    monkeypatch.setattr(type(config.task), "load", lambda self, cache: pytest.fail("was read"))
    with pytest.raises(UserError, match="tf32: requires a CUDA device"):
        prepare(config)


@pytest.mark.parametrize(("capability", "refused"), [((7, 5), True), ((8, 0), False)])
def test_older_cards_have_no_tensorfloat(
    capability: tuple[int, int], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "an older card")
    if refused:
        with pytest.raises(UserError, match="tf32: an older card has no TensorFloat-32"):
            use_precision("tf32", CUDA)
    else:
        use_precision("tf32", CUDA)
        assert torch.backends.cudnn.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("precision", PRECISIONS)
def test_settings_of_an_earlier_run_are_reset(precision: str) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    use_precision(precision, CPU)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


# Computation


def one_step(task: Task, config: Config) -> tuple[Trainer, Batch, Any]:
    """Return a trainer before its first step, a batch, and the network's outputs."""
    trainer = trainer_of(config, task, CPU)
    batch = next(iter(task.batches("train", 16, SeedStreams(0).data_order(0))))
    return trainer, batch, trainer.network(batch.inputs, batch.lengths, None)


def tensors_in(given: Any) -> list[Tensor]:
    return [part for part in given if isinstance(part, Tensor)]


@pytest.mark.parametrize("name", TASKS)
def test_only_the_network_computes_in_bfloat16(name: str, load: Any) -> None:
    config, task = config_of(name, "bfloat16"), load(name)
    trainer, batch, (outputs, _) = one_step(task, config)
    heads = [m for m in trainer.network.modules() if isinstance(m, nn.Linear)]
    seen: list[torch.dtype] = []
    for head in heads:
        head.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    loss, norm, _ = trainer.forward_backward(batch, None)
    assert set(seen) == {torch.bfloat16}
    assert {outputs.dtype, loss.dtype, norm.dtype} == {torch.float32}
    gradients = [p.grad for p in trainer.network.parameters()]
    assert {p.dtype for p in trainer.network.parameters()} == {torch.float32}
    assert {g.dtype for g in gradients if g is not None} == {torch.float32}
    trainer.optimizer.step()
    moments = [t for s in trainer.optimizer.state.values() for t in tensors_in(s.values())]
    assert {moment.dtype for moment in moments} == {torch.float32}


@pytest.mark.parametrize("name", TASKS)
def test_outputs_are_close_but_not_equal(name: str, load: Any) -> None:
    """bfloat16 is used in training, evaluation and latency."""
    task = load(name)
    outputs = {}
    for precision in PRECISIONS:
        trainer, batch, (training, _) = one_step(task, config_of(name, precision))
        alone = next(iter(task.single_sequences(1)))
        with torch.inference_mode():
            evaluated, _ = trainer.network.eval()(batch.inputs, batch.lengths, None)
            single, _ = trainer.network(alone.inputs, alone.lengths, None)
        outputs[precision] = (training.detach(), evaluated, single)
        assert len(latencies_ms(trainer.network, task, CPU)) > 0
    for exact, lower in zip(*outputs.values(), strict=True):
        assert not torch.equal(exact, lower)
        torch.testing.assert_close(lower, exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", TASKS)
def test_gradients_are_clipped_in_float32(name: str, load: Any) -> None:
    task, norms = load(name), {}
    for precision in PRECISIONS:
        config = config_of(name, precision, "train.clip_norm=1e-3")
        trainer, batch, _ = one_step(task, config)
        _, norm, _ = trainer.forward_backward(batch, None)
        gradients = [p.grad for p in trainer.network.parameters() if p.grad is not None]
        left = math.sqrt(sum(float(g.double().square().sum()) for g in gradients))
        assert left == pytest.approx(1e-3, rel=1e-4)
        norms[precision] = float(norm)
    assert norms["bfloat16"] == pytest.approx(norms["highest"], rel=0.1)
    assert norms["bfloat16"] != norms["highest"]


@pytest.mark.parametrize("name", TASKS)
def test_losses_and_metrics_are_summed_in_full_precision(name: str, load: Any) -> None:
    """A sum of hundreds of terms in bfloat16 would be off by per cents."""
    task = load(name)
    trainer, *_ = one_step(task, config_of(name, "bfloat16"))
    (batch,) = itertools.islice(task.batches("validation", 256), 1)
    with torch.inference_mode():
        outputs, _ = trainer.network.eval()(batch.inputs, batch.lengths, None)
        parts = task.sums(outputs.double(), batch)
    sums = {name: part if part.dim() else float(part) for name, part in parts.items()}
    found = evaluate(trainer.network, task, "validation", 256, max_batches=1)
    assert found == pytest.approx(task.metrics(sums), rel=1e-6)


# Whole runs


def run_of(config: Config, folder: Path, cache_dir: Path) -> Row:
    config = dataclasses.replace(config, cache_dir=str(cache_dir))
    return run(config, Store(folder), Interruption(), RunOptions())


@pytest.mark.parametrize("name", TASKS)
def test_rows_contain_the_precision(name: str, tmp_path: Path, shared_cache: Path) -> None:
    rows = {
        precision: run_of(config_of(name, precision, "debug=smoke"), tmp_path, shared_cache)
        for precision in PRECISIONS
    }
    lower, exact = rows["bfloat16"], rows["highest"]
    assert (lower.status, exact.status) == ("ok", "ok")
    assert (lower.precision, exact.precision) == PRECISIONS[::-1]
    assert (lower.dtype, exact.dtype) == ("float32", "float32")
    assert lower.test_loss == pytest.approx(exact.test_loss, rel=0.05)
    assert lower.test_loss != exact.test_loss
    assert lower.latency_ms_p50 is not None
    assert lower.peak_memory_mib is not None


def test_a_whole_training_scores_nearly_the_same(tmp_path: Path, shared_cache: Path) -> None:
    more = ("train.max_epochs=4", "model.hidden_size=16")
    exact, lower = (
        run_of(config_of("sp500", precision, *more), tmp_path, shared_cache).test_score
        for precision in PRECISIONS
    )
    assert lower == pytest.approx(exact, rel=0.02)


def test_the_same_seed_gives_the_same_numbers(tmp_path: Path, shared_cache: Path) -> None:
    config = config_of("shakespeare", "bfloat16", "debug=smoke")
    one, other = (run_of(config, tmp_path / name, shared_cache) for name in ("a", "b"))
    assert (one.test_score, one.val_loss) == (other.test_score, other.val_loss)
