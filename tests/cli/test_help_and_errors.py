"""Help, and one-line errors for mistakes on the command line."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from benchmarks.config.registry import register_schemas
from benchmarks.config.validation import checked_config
from tests.helpers.definitions import EXAMPLES

ROOT = Path(__file__).resolve().parents[2]
MODELS = (
    *("baseline", "bigru", "bilstm", "biregion", "birnn", "gru", "hierarchical", "lru", "lstm"),
    *("mamba", "mingru", "minlstm", "region", "rnn", "stack", "tcn", "transformer", "xlstm"),
)
TASKS = ("forecast", "imdb", "lm", "series", "shakespeare", "sp500", "text")
ALL_MODELS, ALL_TASKS = ", ".join(MODELS), ", ".join(TASKS)
ENVIRONMENT = os.environ | {
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": str(ROOT),
    "CUDA_VISIBLE_DEVICES": "",  # none of the devices below exists
}

# Command line ({file} is a regular file): texts in its one-line error.
MISTAKES: dict[str, tuple[str, ...]] = {
    "model=lsmt": ("model=lsmt", ALL_MODELS, "did you mean lstm?"),
    "task=imbd": ("task=imbd", ALL_TASKS, "did you mean imdb?"),
    "debug=smok": ("debug=smok", "allowed: smoke", "did you mean smoke?"),
    "model=null": ("model", ALL_MODELS),
    "recipe=strng": (
        "recipe=strng: there is no such recipe (allowed: default, strong)",
        "did you mean strong?",
    ),
    "recipe=null": ("recipe: no option is set; choose one, as in recipe=default",),
    "recipe=[default,strong]": ("a run has one recipe", "python run.py -m recipe=default,strong"),
    "recipe=strong task=lm task.data={file}": ("recipe: task=lm has only recipe=default",),
    "~model": ("model", ALL_MODELS),
    "~task": ("task", ALL_TASKS),
    "foo": ("foo", "KEY=VALUE"),
    "foo=1": ("foo", "seed"),
    "+foo=1": ("foo", "seed"),
    "hidden_size=3": ("hidden_size", "did you mean model.hidden_size?"),
    "model.hiden_size=3": (
        "model.hiden_size",
        "model.num_layers",
        "did you mean model.hidden_size?",
    ),
    "+model.hiden_size=3": ("model.hiden_size", "num_layers", "did you mean", "hidden_size?"),
    "train.batch_size=abc": ("train.batch_size=abc", "a whole number"),
    "train.max_epoch=2": ("train.max_epoch=2: there is no", "did you mean train.max_epochs?"),
    "+train.max_epoch=2": ("train.max_epoch=2: there is no", "did you mean max_epochs?"),
    "train.max_epochs=two": ("train.max_epochs=two: must be a whole number of at least 1",),
    "train.patience=two": ("must be a whole number of at least 1 or null",),
    "train.learning_rate=x": ("train.learning_rate=x: must be a number above 0",),
    "model.kernel=fast": ("model.kernel=fast: must be one of auto, torch, fused\n",),
    "seeds=0,1": ("seeds=0,1: must be one list, as in seeds=[0,1,2]",),
    "--model lstm": ("--model; did you mean model=lstm?",),
    "--train.max_epochs=2": ("--train.max_epochs=2; did you mean train.max_epochs=2?",),
    "task=sp500 --seed": ("--seed", "did you mean seed=VALUE?"),
    "task=sp500 task.csv=/": ("task.csv=/: is a folder",),
    "task=sp500 task.csv=": ("task.csv=: is empty",),
    "task=lm task.data=": ("task.data=: is empty",),
    "train.batch_size=1.5": ("train.batch_size=1.5", "a whole number"),
    "train.batch_size=0": ("train.batch_size=0", "at least 1"),
    "train.learning_rate=0": ("train.learning_rate=0", "above 0"),
    "train.learning_rate=nan": ("train.learning_rate=nan", "above 0"),
    "train.learning_rate=inf": ("train.learning_rate=inf", "finite"),
    "train.optimizer=adamv": ("train.optimizer=adamv", "adam, adamw", "did you mean adam"),
    "model.hidden_size=-1": ("model.hidden_size=-1", "at least 1"),
    "model.num_layers=0": ("model.num_layers=0", "at least 1"),
    "model.dropout=1.5": ("model.dropout=1.5", "at least 0.0 and below 1.0"),
    "model.dropout=high": ("model.dropout=high", "a number"),
    "model.bidirectional=maybe": ("model.bidirectional=maybe", "true or false"),
    "model.cell=x": ("model.cell=x", "one of rnn, lstm, gru, region"),
    "model.cell=ltsm": ("model.cell=ltsm", "one of rnn, lstm, gru", "did you mean lstm?"),
    "model=gru model.nonlinearity=relu": ("model.nonlinearity=relu", "gru", "rnn"),
    "model=region model.table=true task=sp500": ("model.table=true", "task=sp500", "token ids"),
    "model=gru model.table=true task=shakespeare task.tied=true": (
        "model.table=true",
        "task.tied=false",
    ),
    "model=gru model.forget_bias=2": ("model.forget_bias=2.0", "lstm or region", "not to gru"),
    "seed=-1": ("seed=-1", "at least 0"),
    "seed=0,1": ("seed=0,1", "--multirun"),
    "-m model=rnn,lsmt": ("model=lsmt", ALL_MODELS, "did you mean lstm?"),
    "model=birnn task=shakespeare": ("model=birnn", "task=shakespeare", "would see the steps"),
    "model=bilstm task=shakespeare": ("model=bilstm", "task=shakespeare", "would see the steps"),
    "model=bigru task=shakespeare": ("model=bigru", "task=shakespeare", "would see the steps"),
    "model=lstm model.bidirectional=true task=shakespeare": (
        "model.bidirectional=false",
        "task=shakespeare",
        "would see the steps",
    ),
    "task=imdb task.source=/nope": ("task.source=/nope", "auto, hub, bundled or a folder"),
    "task=sp500 train.pretrain=self": ("train.pretrain=self", "task=sp500", "imdb and text"),
    "task=imdb train.pretrain_epochs=3": ("train.pretrain_epochs=3", "without train.pretrain=self"),
    "task=imdb model=bilstm model.num_layers=2 train.pretrain=self": (
        "train.pretrain=self",
        "model.num_layers=1 or model.bidirectional=false",
    ),
    "task=imdb task.chop=9 task.pooling=last": ("task.chop=9", "task.pooling=last", "mean_max"),
    "task=sp500 task.csv=/nope": ("task.csv=/nope", "no such file"),
    "task=shakespeare task.corpus=/nope": ("task.corpus=/nope", "no such file"),
    "task=sp500 task.start=today": ("task.start=today", "not a date like 2015-12-31"),
    "task=sp500 task.start=2018-01-01 task.end=2017-01-01": ("2018-01-01", "2017-01-01", "before"),
    "results_dir={file}": ("results_dir={file}", "results_dir=PATH"),
    "results_dir={file}/below": ("results_dir={file}/below", "results_dir=PATH"),
    "-m model=rnn,gru results_dir={file}/below": ("results_dir={file}/below", "results_dir=PATH"),
    "resume=nver": ("resume=nver", "continue, skip_failed, never", "did you mean never?"),
    "experiment=headline": (
        "experiment=headline is a sweep",
        "python run.py -m experiment=headline",
    ),
    "model=[rnn,lstm]": (
        "model=[rnn,lstm]: a run has one model",
        "python run.py -m model=rnn,lstm",
    ),
    "task=[sp500,imdb]": ("task=[sp500,imdb]: a run has one task", "-m task=sp500,imdb"),
    "-m model=[rnn,lstm]": ("a run has one model", "python run.py -m model=rnn,lstm"),
    "model=lstm +model=gru": ("model=lstm and +model=gru: set model once",),
    "model=glob(*)": ("model=glob(*): several values make a sweep", "add -m"),
    "~train.learning_rate": ("~train.learning_rate: a key cannot be removed",),
    "seed=${{x}}": ("seed=${{x}}: refers to a key or variable that does not exist",),
    "train.learning_rate=${{oc.env:NOT_SET}}": (
        "${{oc.env:NOT_SET}}: refers to a key or variable",
    ),
    "seed=${{nope:1}}": ("seed=${{nope:1}}: refers to a key or variable that does not exist",),
    "--multirn": ("--multirn", "did you mean --multirun?"),
    "-m task=sp500 seed=0,1 --config-name x": ("--config-name", "cannot be combined with -m"),
    # Every cell of a sweep is looked at before any runs, also those that are wrong in the end.
    "-m task=sp500 model=rnn,gru train.batch_size=64,0": ("train.batch_size=0", "at least 1"),
    "+model=rnn": ("+model=rnn: model is set already; write model=rnn",),
    "+seed=3 task=sp500": ("+seed=3: the key exists already; write seed=3",),
    "@model=rnn": ("@model=rnn: not understood", "KEY=VALUE"),
    "seed=[0,1]": ("must be a whole number", "for a sweep: -m seed=0,1"),
    "train.batch_size=[16,32]": ("for a sweep: -m train.batch_size=16,32",),
    "model=lstm -x task=sp500": ("unrecognized arguments: -x; see",),
    "task=forecast task.data=~/no.csv": ("/no.csv: no such file",),
    "task=forecast task.data=a=b.csv": ("task.data=a=b.csv: no such file",),
    "-m task=sp500,forecast task.data=x": ("task.data=x: ", "run one sweep per task"),
    "-m task=forecast,sp500 task.data=x": ("task.data=x: ", "run one sweep per task"),
    "-m task=sp500 seed=1,two": ("seed=two", "a whole number"),
    "-m task=sp500 model.hiden_size=8,16": ("model.hiden_size", "did you mean model.hidden_size?"),
    "-m task=sp500 +model.hiden_size=8,16": ("model.hiden_size", "did you mean hidden_size?"),
    "-m task=sp500 foo": ("foo", "KEY=VALUE"),
    "-m debug=smoke,smok": ("debug=smok", "allowed: smoke", "did you mean smoke?"),
    "-m experiment=headlin": ("experiment=headlin", "did you mean headline?"),
    "-m task=shakespeare model=bilstm,bigru": ("model=bilstm", "task=shakespeare", "no cell"),
    "-m task=sp500 seed=interval(0,1)": ("seed=interval(0,1)", "range(0,3)", "experiment=tune"),
    "-m task=sp500 resume=never,continue": ("resume", "a single value"),
    "-m task=sp500 results_dir={file}/a,{file}/b": ("results_dir", "a single value"),
    "-m task=sp500 hydra/launcher=basic,local": ("hydra/launcher", "a single value"),
    "-m task=sp500 hydra/launcher=local hydra.launcher.jobs=0": (
        "hydra.launcher.jobs=0",
        "least 1",
    ),
    "-m task=sp500 task.csv=/nope,/nowhere": ("task.csv=/nope", "no such file"),
}
# Devices are checked with torch, so these come last: it must not be imported before.
NO_SUCH_DEVICE: dict[str, tuple[str, ...]] = {
    "task=sp500 train.device=cuda": ("train.device=cuda", "allowed: auto, cpu"),
    "task=sp500 train.device=cuda:7": ("train.device=cuda:7", "allowed: auto, cpu"),
    "task=sp500 train.device=foo": ("train.device=foo", "allowed: auto, cpu"),
    "-m task=sp500 train.device=cpu,cuda": ("train.device=cuda", "allowed: auto, cpu"),
}
# One process for them all, each answered as `python run.py` would.
ANSWER_ALL = """
import contextlib, io, json, runpy, sys, traceback
script, *lines = sys.argv[1:]
for line in lines:
    sys.argv, code = [script, *json.loads(line)], None
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(err):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            traceback.print_exc()
            code = 1
    print(json.dumps({"code": code, "err": err.getvalue(), "torch": "torch" in sys.modules}))
"""


@dataclass(frozen=True)
class Answer:
    code: int
    err: str
    torch: bool


@dataclass(frozen=True)
class Place:
    """A regular file, and a results directory per mistake."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "file"

    def arguments(self, line: str) -> list[str]:
        """Return the arguments, with limits that end a run whose mistake is not found."""
        given = shlex.split(line.format(file=self.file))
        given += ["train.max_steps=1", "train.max_evaluation_batches=1"]
        given += [f"cache_dir={self.folder / 'cache'}"]
        return given if "results_dir" in line else [*given, f"results_dir={self.results(line)}"]

    def results(self, line: str) -> Path:
        return self.folder / "results" / re.sub(r"\W", "_", line)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("mistakes"))
    place.file.write_text("not a folder")
    return place


@pytest.fixture(scope="module")
def answers(place: Place) -> dict[str, Answer]:
    lines = [*MISTAKES, *NO_SUCH_DEVICE]
    ended = subprocess.run(
        [sys.executable, "-c", ANSWER_ALL, str(ROOT / "run.py")]
        + [json.dumps(place.arguments(line)) for line in lines],
        cwd=place.folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    found = [Answer(**json.loads(text)) for text in ended.stdout.splitlines()]
    return dict(zip(lines, found, strict=True))


def run_py(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_one_clear_line(err: str, expected: tuple[str, ...], place: Place) -> None:
    assert "Traceback" not in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for text in expected:
        assert text.format(file=place.file) in err


@pytest.mark.parametrize("line", [*MISTAKES, *NO_SUCH_DEVICE])
def test_a_mistake_is_answered_in_one_clear_line(
    line: str, answers: dict[str, Answer], place: Place
) -> None:
    assert_one_clear_line(answers[line].err, (MISTAKES | NO_SUCH_DEVICE)[line], place)
    assert answers[line].code == 2


@pytest.mark.parametrize("line", [*MISTAKES, *NO_SUCH_DEVICE])
def test_a_mistake_leaves_nothing_half_written(
    line: str, answers: dict[str, Answer], place: Place
) -> None:
    assert answers[line].code != 0
    assert not [file for file in place.results(line).rglob("*") if file.is_file()]
    assert not [*place.results(line).glob("runs/*")]
    assert place.file.read_text() == "not a folder"


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_found_without_torch(line: str, answers: dict[str, Answer]) -> None:
    assert not answers[line].torch


@pytest.mark.parametrize(
    "line",
    ["model=lsmt", "model.dropout=1.5", "results_dir={file}/below", "task=sp500 train.device=cuda"],
)
def test_the_command_itself_prints_the_line(line: str, place: Place, tmp_path: Path) -> None:
    ended = run_py(*place.arguments(line), cwd=tmp_path)
    assert_one_clear_line(ended.stderr, (MISTAKES | NO_SUCH_DEVICE)[line], place)
    assert ended.returncode == 2
    assert ended.stdout == ""


def test_a_mistake_leaves_nothing_where_the_command_was_called(
    place: Place, tmp_path: Path
) -> None:
    run_py(*place.arguments("model.dropout=1.5"), cwd=tmp_path)
    assert [*tmp_path.iterdir()] == []


@pytest.fixture(scope="module")
def help_text() -> str:
    ended = run_py("--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.mark.parametrize(("group", "options"), [("model", MODELS), ("task", TASKS)])
def test_help_lists_what_can_be_chosen(
    group: str, options: tuple[str, ...], help_text: str
) -> None:
    (line,) = (line for line in help_text.splitlines() if line.strip().startswith(f"{group}= "))
    assert line.split(maxsplit=1)[1].split(" | ") == list(options)


def test_help_shows_no_schema_and_no_placeholder(help_text: str) -> None:
    assert "schema" not in help_text
    assert "$" not in help_text


def test_the_examples_in_the_help_are_right(help_text: str) -> None:
    register_schemas()
    section = help_text.partition("Examples\n")[2].partition("\n\n")[0]
    examples = re.findall(r"python run\.py (.*?)(?:  .*)?$", section, re.MULTILINE)
    assert len(examples) >= 5
    for example in examples:
        parts = example.replace("reviews.csv", str(EXAMPLES["text"])).removeprefix("-m ").split()
        keys_and_values = [part.partition("=")[::2] for part in parts]
        several = ([v] if v.startswith("[") else v.split(",") for _, v in keys_and_values)
        swept = itertools.product(*several)
        for values in swept:
            overrides = [
                f"{key}={value}" for (key, _), value in zip(keys_and_values, values, strict=True)
            ]
            with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
                checked_config(compose("config", overrides=overrides))


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_printing_imports_no_heavy_library(arguments: list[str]) -> None:
    probe = (
        "import atexit, runpy, sys; sys.argv = sys.argv[1:];"
        "heavy = {'torch', 'pandas', 'datasets'};"
        "atexit.register(lambda: print('heavy:', sorted(heavy & set(sys.modules))));"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", probe, str(ROOT / "run.py"), *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("heavy: []\n")
