"""When the fused kernel runs, how it is made, and what happens where it cannot be had."""

import fnmatch
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from models.kernels import compiler as library
from models.modules.recurrent import RecurrentEncoder
from models.recurrent import RecurrentSettings

needs_kernel = pytest.mark.skipif(
    library.unavailable_reason() is not None, reason=str(library.unavailable_reason())
)

SCRIPT = """
import torch
from models.recurrent import RecurrentSettings
torch.set_num_threads(1)
encoder = RecurrentSettings(hidden_size=4).build(3)
encoder(torch.zeros(2, 9, 3))
print(encoder.kernel)
print(encoder.kernel_unavailable_reason)
"""


def in_fresh_process(tmp_path, **environment):
    root = Path(library.SOURCE).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(root)}
        | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    kernel, lack = done.stdout.splitlines()
    return kernel, lack


def test_without_a_compiler_pytorch_runs_and_says_why(tmp_path):
    kernel, lack = in_fresh_process(tmp_path, CXX="no-such-compiler")
    assert kernel == "torch"
    assert lack == "CXX=no-such-compiler: there is no such C++ compiler"


def test_a_compiler_that_fails_is_quoted(tmp_path):
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho 'cells: error: no' >&2\nexit 1\n")
    compiler.chmod(0o755)
    kernel, lack = in_fresh_process(tmp_path, CXX=str(compiler))
    assert kernel == "torch"
    assert lack.endswith("cells: error: no")


def test_a_compiler_may_speak_any_encoding(tmp_path):
    compiler = tmp_path / "compiler"
    compiler.write_bytes(b"#!/bin/sh\necho 'cells: error: \xe9' >&2\nexit 1\n")
    compiler.chmod(0o755)
    kernel, lack = in_fresh_process(tmp_path, CXX=str(compiler))
    assert kernel == "torch"
    assert "error" in lack


def test_without_a_home_pytorch_runs(monkeypatch):
    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    library._try.cache_clear()
    try:
        assert "home" in library.unavailable_reason()
    finally:
        library._try.cache_clear()


@needs_kernel
def test_what_a_killed_compilation_left_is_cleared_away(tmp_path):
    kernels = tmp_path / "rnnbench" / "kernels"
    old, new = kernels / ".draft-old", kernels / ".draft-new"
    for draft in (old, new):
        draft.mkdir(parents=True)
        (draft / "cells.o").write_text("half")
    os.utime(old, (0, 0))
    assert in_fresh_process(tmp_path) == ("fused", "None")
    assert not old.exists()
    assert new.exists()


@needs_kernel
def test_a_damaged_library_is_made_anew(tmp_path):
    assert in_fresh_process(tmp_path) == ("fused", "None")
    (made,) = (tmp_path / "rnnbench" / "kernels").glob("cells-*.so")
    good = made.read_bytes()
    made.unlink()
    made.write_bytes(good[: len(good) // 2])
    assert in_fresh_process(tmp_path) == ("fused", "None")
    assert made.stat().st_size == len(good)
    assert list(made.parent.iterdir()) == [made]


@needs_kernel
def test_another_header_is_compiled_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(library, "SOURCE", tmp_path / "cells.cpp")
    fields = library.ctypes.sizeof(library.Call)
    library.SOURCE.write_text('#include "size.h"\nextern "C" int call_size() { return SIZE; }\n')
    header = tmp_path / "size.h"
    tries = []
    for size in (fields, fields, fields - 8):
        header.write_text(f"#define SIZE {size}\n")
        tries.append(library._try.__wrapped__())
    assert isinstance(tries[0], library.Library)
    assert isinstance(tries[1], library.Library)
    assert tries[2].endswith("was made from another source")
    assert len(list((tmp_path / "cache/rnnbench/kernels").iterdir())) == 2


def test_an_installation_contains_all_of_the_source():
    here = library.SOURCE.parent
    setup = tomllib.loads((here.parents[1] / "pyproject.toml").read_text())
    patterns = setup["tool"]["setuptools"]["package-data"]["models.kernels"]
    sources = {file.name for file in here.iterdir() if file.suffix not in (".py", "")}
    assert {"cells.cpp", "forward.h"} < sources
    packed = {name for name in sources if any(fnmatch.fnmatch(name, one) for one in patterns)}
    assert packed == sources


THREADS = """
#include <vector>
#include "threads.h"

extern "C" int call_size() { return SIZE; }

// How many of `count` places were done once and in the order of the two phases; -1: it threw.
extern "C" int done(int threads, int count, int thrower) {
    std::vector<int> first(count), second(count);
    try {
        in_parallel(threads, [&](const Member& member) {
            member.share(count, [&](int64_t i) { ++first[i]; });
            member.wait_for_others();
            member.share(count, [&](int64_t i) {
                if (i == thrower) throw std::bad_alloc();
                second[i] += first[count - 1 - i];
            });
        });
    } catch (const std::bad_alloc&) {
        return -1;
    }
    int right = 0;
    for (int places : second) right += places == 1;
    return right;
}
"""


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_whatever_the_compiler_its_threads_are_those_of_pytorch(tmp_path, monkeypatch, compiler):
    path = shutil.which(compiler)
    if path is None:
        pytest.skip(f"there is no {compiler}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", path)
    shutil.copy(library.SOURCE.with_name("threads.h"), tmp_path)
    monkeypatch.setattr(library, "SOURCE", tmp_path / "cells.cpp")
    fields = library.ctypes.sizeof(library.Call)
    library.SOURCE.write_text(THREADS.replace("SIZE", str(fields)))
    made = library._try.__wrapped__()
    assert isinstance(made, library.Library), made
    for threads in (0, 1, 2, 3, 8):
        for count in (1, 2, 7, 1000):
            assert made._library.done(threads, count, -1) == count
            assert made._library.done(threads, count, count - 1) == -1


@needs_kernel
def test_auto_leaves_single_steps_and_wide_layers_to_pytorch():
    encoder = RecurrentEncoder(RecurrentSettings(hidden_size=16), 4)
    encoder(torch.zeros(2, 30, 4))
    assert encoder.kernel == "fused"
    encoder(torch.zeros(2, 1, 4))
    assert encoder.kernel == "torch"
    wide = RecurrentEncoder(RecurrentSettings(hidden_size=1024, initialisation="pytorch"), 4)
    wide(torch.zeros(1, 16, 4))
    assert wide.kernel == "torch"
