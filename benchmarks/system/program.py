"""What all programs share: one line for mistakes, Ctrl-C and a closed pipe without a traceback."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar

from benchmarks.errors import UserError, nearest, one_line
from benchmarks.system.signals import INTERRUPTED
from benchmarks.system.terminal import protect_output, visible
from tasks.base import DataError

P = ParamSpec("P")
R = TypeVar("R")


class ScriptParser(argparse.ArgumentParser):
    """An argument parser that prints a mistake as one line, with the nearest allowed word."""

    def __init__(self, description: str | None) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, formatter_class=formatter)
        self.register("type", Path, expanded_path)

    def parse_with_settings(self, arguments: list[str] | None) -> argparse.Namespace:
        """Parse arguments whose last are settings, such as task.data=PATH, given in any place."""
        words = sys.argv[1:] if arguments is None else arguments
        for action in self._actions:
            action.required &= action.nargs != "*"  # argparse would name them as missing
        is_setting = re.compile(r"(task\.\w+|cache_dir)=").match
        return self.parse_intermixed_args(sorted(words, key=lambda word: bool(is_setting(word))))

    def error(self, message: str) -> NoReturn:
        """Print the mistake and exit with code 2."""
        message = one_line(message)
        if found := re.match(r"argument (\S+): invalid choice: '(.*?)'", message):
            allowed = next((a.choices for a in self._actions if found[1] in names_of(a)), None)
            message += nearest(found[2], map(str, allowed or ()))
        elif found := re.match(r"unrecognized arguments: (.*)", message):
            known = [name for each in self._actions for name in each.option_strings]
            words = (with_nearest(word, known) for word in found[1].split(" "))
            message = f"unrecognized arguments: {' '.join(words)}"
        elif found := re.match(r"argument (\S+): expected one argument", message):
            message += f"; a value that begins with - is written {found[1]}=-…"
        self.exit(2, f"error: {visible(message)}; see --help\n")


def expanded_path(text: str) -> Path:
    """Return a path with `~` and variables expanded: shells do not expand them in quotes."""
    return Path(os.path.expandvars(Path(text).expanduser()))


def names_of(action: argparse.Action) -> tuple[str, ...]:
    """Return the names under which messages of argparse show an argument."""
    return "/".join(action.option_strings), str(action.metavar), action.dest


def with_nearest(word: str, options: list[str]) -> str:
    """Return an unknown option with the nearest option in parentheses; other words unchanged."""
    hint = nearest(word.partition("=")[0], options) if word.startswith("-") else ""
    return f"{word} ({hint.removeprefix('; ')})" if hint else word


def prints_user_errors(main: Callable[P, R]) -> Callable[P, R | int]:
    """Decorate a main function: a user's mistake is printed as one line, and the exit code is 2."""

    @wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R | int:
        try:
            return main(*args, **kwargs)
        except (UserError, DataError) as error:
            print(f"error: {visible(str(error))}", file=sys.stderr)
            return 2

    return wrapped


def run_script(main: Callable[[], int], output_is_result: bool = True) -> NoReturn:
    """Exit with the code that `main` returns, 130 after Ctrl-C and 0 if the reader stops early.

    `main` imports slow libraries itself, so that an interruption of the imports is handled too.
    Output that cannot be written ends the program only if the output is its result.
    """
    if sys.stdout is None and output_is_result:
        print("error: the output cannot be written (it is closed)", file=sys.stderr)
        sys.exit(2)
    protect_output(output_is_result)
    code: object = 1
    try:
        code = prints_user_errors(flushed)(main)
    except BrokenPipeError:  # as in `| head -1`
        code = 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    if code == INTERRUPTED:  # another Ctrl-C must not disturb the end of the interpreter
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    # `code` is what the program returned or an exit code: sys.exit takes both.
    sys.exit(code)  # type: ignore[arg-type]


def flushed(main: Callable[[], int]) -> object:
    """Return the exit code of `main` after its last output, also if it exits by itself."""
    try:
        code: object = main()
    except SystemExit as end:  # as of `--help`
        code = end.code
    sys.stdout.flush()
    return code
