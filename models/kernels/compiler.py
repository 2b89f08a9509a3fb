"""Compiles `cells.cpp` and its headers for this machine once, and calls them.

The one place where a model touches files: the compiled library is kept in the user's cache
directory, under a name made of everything it depends on.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).with_name("cells.cpp")

# What lets the compiler use all of this processor, and fuse a product and a sum; nothing that lets
# it reorder sums, on which the rounding in `exponential` relies.
OPTIONS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-Wno-psabi")

COMPILE_SECONDS = 120
"""How long a compiler may take, which needs about four."""

CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru")
"""The order of the cells' numbers in the source."""

Call = ctypes.c_int64 * 33
"""`Call` of the source: integers, then addresses, all of one size."""


class UnavailableError(Exception):
    """The kernels cannot be had here; the text says why."""


class Library:
    """The compiled functions.

    Args:
        path: of the shared library.

    Raises:
        OSError: it cannot be loaded.
    """

    def __init__(self, path: Path) -> None:
        import torch  # noqa: F401  it brings the OpenMP that threads.h calls

        self._library = ctypes.CDLL(str(path))
        if self._library.call_size() != ctypes.sizeof(Call):
            raise OSError(f"{path} was made from another source")

    def run(self, name: str, *fields: int) -> None:
        """Run one of the functions, such as ``forward_float32``, on the first fields of a `Call`.

        Raises:
            MemoryError: there was not enough.
        """
        if getattr(self._library, name)(Call(*fields)):
            raise MemoryError(f"the fused kernel's {name} ran out of memory")


def library() -> Library:
    """Return the library, compiled if it has not been yet.

    Raises:
        UnavailableError: there is no compiler, or what it made does not load. Found out once.
    """
    answer = _try()
    if isinstance(answer, str):
        raise UnavailableError(answer)
    return answer


def unavailable_reason() -> str | None:
    """Say why the kernels cannot be had; None if they can."""
    answer = _try()
    return answer if isinstance(answer, str) else None


@functools.cache
def _try() -> Library | str:
    compiler = find_compiler()
    if compiler is None:
        named = os.environ.get("CXX")
        if named:
            return f"CXX={named}: there is no such C++ compiler"
        return "there is no C++ compiler (c++, g++ or clang++; or one named by CXX)"
    try:
        name = f"cells-{key(compiler)}"
        for path in cache_directory().glob(f"{name}-*.so"):
            if path.stem == f"{name}-{short_hash(path.read_bytes())}":  # one cut short would crash
                return Library(path)
            path.unlink(missing_ok=True)
        return Library(compiled(name, compiler))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # no home: RuntimeError
        return f"{compiler}: {explain(error)}"


def find_compiler() -> str | None:
    """Return the command of a C++ compiler, `CXX` before all others."""
    named = os.environ.get("CXX")
    candidates = [named] if named else ["c++", "g++", "clang++"]
    return next((found for name in candidates if (found := shutil.which(name))), None)


def cache_directory() -> Path:
    """Where compiled kernels are kept: in the user's cache directory, by the XDG rule."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(base) / "rnnbench" / "kernels"


def key(compiler: str) -> str:
    """Hash what a compiled library depends on: sources, compiler, options and processor.

    The compiler is known by its file: to ask for its version would take a process each time, which
    may fail where the library that it made long ago would do.
    """
    path = Path(compiler).resolve()
    made = [str(path), str(path.stat().st_size), str(path.stat().st_mtime_ns)]
    sources = [SOURCE, *sorted(SOURCE.parent.glob("*.h"))]
    texts = [file.read_text(encoding="utf-8") for file in sources]
    content = [*texts, *made, *OPTIONS, sys.platform, processor()]
    return short_hash("\n".join(content).encode())


def short_hash(content: bytes) -> str:
    """Hash bytes to what serves as a part of a file's name."""
    return hashlib.sha256(content).hexdigest()[:16]


def processor() -> str:
    """What `-march=native` looks at: a shared home directory may serve different machines."""
    lines = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "flags", "Features", "CPU part")):
                lines.append(line)
            elif not line and lines:
                break
    return "\n".join([platform.machine(), platform.processor(), *lines])


def compiled(name: str, compiler: str) -> Path:
    """Compile the source; the library appears whole or not at all, its hash in its name.

    It is linked to no OpenMP: what PyTorch has loaded answers (threads.h).

    Raises:
        OSError: a file cannot be written.
        subprocess.SubprocessError: the compiler failed or took too long.
    """
    directory = cache_directory()
    directory.mkdir(parents=True, exist_ok=True)
    for left in directory.glob(".draft-*"):  # by a process that was killed
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 2 * COMPILE_SECONDS:
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".draft-") as folder:
        object_file, draft = Path(folder, "cells.o"), Path(folder, "cells.so")
        undefined = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
        for command in (
            [compiler, *OPTIONS, "-c", str(SOURCE), "-o", str(object_file)],
            [compiler, "-shared", *undefined, str(object_file), "-o", str(draft)],
        ):
            subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMPILE_SECONDS,
                check=True,
            )
        return draft.rename(directory / f"{name}-{short_hash(draft.read_bytes())}.so")


def explain(error: Exception) -> str:
    """Say in a line what went wrong."""
    if isinstance(error, subprocess.CalledProcessError):
        said: list[str] = error.stderr.splitlines()
        failed = f"it failed with exit status {error.returncode}"
        return ([line for line in said if "error" in line] or said or [failed])[0].strip()
    return " ".join(str(error).split())
