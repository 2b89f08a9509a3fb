"""Compile `cells.cpp` once for this machine into the user's cache, and call its functions."""

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

# No option may reorder sums: the rounding in `exponential` depends on their order.
OPTIONS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-Wno-psabi")
COMPILE_SECONDS = 900  # a compiler needs about four, and on a busy machine minutes
_chosen: list[Path] = []  # by `use_cache`
CELLS = (
    "rnn_tanh",
    "rnn_relu",
    "lstm",
    "gru",
    "region",
    "slstm",
)  # the enumeration `Cell` of the source
Call = ctypes.c_int64 * 33  # the structure `Call` of the source: integers, then addresses


class Library:
    """The compiled functions."""

    def __init__(self, path: Path) -> None:
        import torch  # noqa: F401  loads the OpenMP library that threads.h uses

        self._library = ctypes.CDLL(str(path))
        if self._library.call_size() != ctypes.sizeof(Call):
            raise OSError(f"{path} was compiled from another source")

    def run(self, name: str, *fields: int) -> None:
        """Call a function, such as ``forward_float32``, with the first fields of a `Call`."""
        if getattr(self._library, name)(Call(*fields)):
            raise MemoryError(f"the fused kernel's {name} ran out of memory")


def library() -> Library:
    """Return the library, compiled at the first call, or raise RuntimeError with the reason."""
    loaded = _load()
    if isinstance(loaded, str):
        raise RuntimeError(loaded)
    return loaded


def unavailable_reason() -> str | None:
    """Return why the kernels are unavailable; None if they are available."""
    loaded = _load()
    return loaded if isinstance(loaded, str) else None


@functools.cache
def _load() -> Library | str:
    compiler = find_compiler()
    if compiler is None:
        if name := os.environ.get("CXX"):
            return f"CXX={name}: no such C++ compiler"
        return "no C++ compiler found (c++, g++ or clang++; set CXX to use another)"
    try:
        name = f"cells-{key(compiler)}"
        for path in cache_directory().glob(f"{name}-*.so"):
            # Loading a truncated library would crash the process.
            if path.stem == f"{name}-{short_hash(path.read_bytes())}":
                return Library(path)
            path.unlink(missing_ok=True)
        return Library(compile_library(name, compiler))
    except subprocess.CalledProcessError as error:
        lines: list[str] = error.stderr.splitlines()
        failed = f"exit status {error.returncode}"
        message = ([line for line in lines if "error" in line] or lines or [failed])[0]
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # no home: RuntimeError
        if getattr(error, "filename", None) not in (None, compiler):
            reason = os.strerror(getattr(error, "errno", 0))
            return f"{cache_directory()}: cannot be written to ({reason}); set cache_dir=PATH"
        message = " ".join(str(error).split())
    return f"{compiler}: {message.strip()}"


def find_compiler() -> str | None:
    """Return the path of a C++ compiler; the environment variable `CXX` has priority."""
    name = os.environ.get("CXX")
    candidates = [name] if name else ["c++", "g++", "clang++"]
    return next(filter(None, map(shutil.which, candidates)), None)


def use_cache(directory: Path) -> None:
    """Compile into a directory if the user's cache cannot be written to."""
    _chosen[:] = [directory]


def cache_directory() -> Path:
    """Return the directory of compiled kernels, in the user's cache by the XDG specification."""
    directory = user_cache()
    if _chosen and not can_be_written(directory):
        return _chosen[0] / "kernels"
    return directory


def can_be_written(directory: Path) -> bool:
    """Return True if a directory exists or can be created, and files can be written in it."""
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
    return os.access(directory, os.W_OK | os.X_OK)


def user_cache() -> Path:
    """Return the directory of compiled kernels in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(base) / "rnnbench" / "kernels"


def key(compiler: str) -> str:
    """Hash the sources, compiler, options and processor.

    The compiler is identified by its file: to query its version would start a process every time.
    """
    path = Path(compiler).resolve()
    identity = [str(path), str(path.stat().st_size), str(path.stat().st_mtime_ns)]
    sources = [SOURCE, *sorted(SOURCE.parent.glob("*.h"))]
    texts = [file.read_text(encoding="utf-8") for file in sources]
    return short_hash("\n".join([*texts, *identity, *OPTIONS, sys.platform, processor()]).encode())


def short_hash(content: bytes) -> str:
    """Return the first 16 hexadecimal digits of a SHA-256 hash."""
    return hashlib.sha256(content).hexdigest()[:16]


def processor() -> str:
    """Describe the processor: machines that share a home directory may have different ones."""
    lines = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "flags", "Features", "CPU part")):
                lines.append(line)
            elif not line and lines:
                break
    return "\n".join([platform.machine(), platform.processor(), *lines])


def compile_library(name: str, compiler: str) -> Path:
    """Compile the source without OpenMP (threads.h), and move the complete library to its place."""
    directory = cache_directory()
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob(".draft-*"):  # from processes that were killed
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > 2 * COMPILE_SECONDS:
                shutil.rmtree(leftover)
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
