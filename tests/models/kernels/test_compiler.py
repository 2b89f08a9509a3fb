"""Compilation of the fused kernel, and its replacement where it is unavailable."""

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
    kernel, reason = done.stdout.splitlines()
    return kernel, reason


def test_without_a_compiler_pytorch_runs_and_the_reason_is_reported(tmp_path):
    kernel, reason = in_fresh_process(tmp_path, CXX="no-such-compiler")
    assert kernel == "torch"
    assert reason == "CXX=no-such-compiler: no such C++ compiler"


def test_a_compiler_that_fails_is_quoted(tmp_path):
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho 'cells: error: no' >&2\nexit 1\n")
    compiler.chmod(0o755)
    kernel, reason = in_fresh_process(tmp_path, CXX=str(compiler))
    assert kernel == "torch"
    assert reason.endswith("cells: error: no")


def test_compiler_messages_may_have_any_encoding(tmp_path):
    compiler = tmp_path / "compiler"
    compiler.write_bytes(b"#!/bin/sh\necho 'cells: error: \xe9' >&2\nexit 1\n")
    compiler.chmod(0o755)
    kernel, reason = in_fresh_process(tmp_path, CXX=str(compiler))
    assert kernel == "torch"
    assert "error" in reason


def test_without_a_home_pytorch_runs(monkeypatch):
    def fail(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", fail)
    library._load.cache_clear()
    try:
        assert "home" in library.unavailable_reason()
    finally:
        library._load.cache_clear()


@needs_kernel
def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    kernel, reason = in_fresh_process(tmp_path / "file")
    assert kernel == "torch"
    folder = tmp_path / "file/rnnbench/kernels"
    assert reason == f"{folder}: cannot be written to (Not a directory); set cache_dir=PATH"


def test_the_cache_of_the_configuration_replaces_one_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(library, "_chosen", [])
    library.use_cache(tmp_path / "given")
    assert library.cache_directory() == tmp_path / "home/rnnbench/kernels"
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert library.cache_directory() == tmp_path / "given/kernels"


@needs_kernel
def test_a_damaged_library_is_compiled_again_and_files_of_killed_compilations_are_removed(tmp_path):
    kernels = tmp_path / "rnnbench" / "kernels"
    old, new = kernels / ".draft-old", kernels / ".draft-new"
    for draft in (old, new):
        draft.mkdir(parents=True)
        (draft / "cells.o").write_text("half")
    os.utime(old, (0, 0))
    # The library that this process has loaded.
    (loaded,) = library.cache_directory().glob(f"cells-{library.key(library.find_compiler())}-*.so")
    good, made = loaded.read_bytes(), kernels / loaded.name
    made.write_bytes(good[: len(good) // 2])
    assert in_fresh_process(tmp_path) == ("fused", "None")
    assert made.stat().st_size == len(good)
    assert not old.exists()
    assert new.exists()
    assert sorted(kernels.iterdir()) == sorted([made, new])


@needs_kernel
def test_a_changed_header_is_compiled_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(library, "SOURCE", tmp_path / "cells.cpp")
    fields = library.ctypes.sizeof(library.Call)
    library.SOURCE.write_text('#include "size.h"\nextern "C" int call_size() { return SIZE; }\n')
    header = tmp_path / "size.h"
    tries = []
    for size in (fields, fields, fields - 8):
        header.write_text(f"#define SIZE {size}\n")
        tries.append(library._load.__wrapped__())
    assert isinstance(tries[0], library.Library)
    assert isinstance(tries[1], library.Library)
    assert tries[2].endswith("was compiled from another source")
    assert len(list((tmp_path / "cache/rnnbench/kernels").iterdir())) == 2


def test_an_installation_contains_all_source_files():
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

// Count the places that were done once, in the order of the two phases; -1: an exception.
extern "C" int done(int threads, int count, int thrower) {
    std::vector<int> first(count), second(count);
    try {
        in_parallel(threads, [&](const Worker& worker) {
            worker.share(count, [&](int64_t i) { ++first[i]; });
            worker.wait();
            worker.share(count, [&](int64_t i) {
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
def test_every_compiler_uses_the_threads_of_pytorch(tmp_path, monkeypatch, compiler):
    path = shutil.which(compiler)
    if path is None:
        pytest.skip(f"there is no {compiler}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", path)
    shutil.copy(library.SOURCE.with_name("threads.h"), tmp_path)
    monkeypatch.setattr(library, "SOURCE", tmp_path / "cells.cpp")
    fields = library.ctypes.sizeof(library.Call)
    library.SOURCE.write_text(THREADS.replace("SIZE", str(fields)))
    made = library._load.__wrapped__()
    assert isinstance(made, library.Library), made
    for threads in (0, 1, 2, 3, 8):
        for count in (1, 2, 7, 1000):
            assert made._library.done(threads, count, -1) == count
            assert made._library.done(threads, count, count - 1) == -1


@needs_kernel
def test_auto_uses_pytorch_for_single_steps_and_wide_layers():
    encoder = RecurrentEncoder(4, 16)
    encoder(torch.zeros(2, 30, 4))
    assert encoder.kernel == "fused"
    encoder(torch.zeros(2, 1, 4))
    assert encoder.kernel == "torch"
    wide = RecurrentEncoder(4, 1024, initialisation="pytorch")
    wide(torch.zeros(1, 16, 4))
    assert wide.kernel == "torch"
