"""Show what a file or folder is taken for as data of a task; trains nothing.

    python scripts/check_data.py PATH                            kind, columns, split, commands
    python scripts/check_data.py PATH --task forecast            read as data of this kind
    python scripts/check_data.py PATH task.column=Passengers     with settings of the task

Exit codes: 0; 2 if the data cannot be used.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.system.program import ScriptParser, prints_user_errors, run_script
from benchmarks.system.terminal import print_log_messages, visible


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Check the data and return the exit code."""
    parser = ScriptParser(__doc__)
    parser.add_argument("path", type=Path, metavar="PATH", help="file, folder or hub id")
    parser.add_argument("overrides", nargs="*", metavar="task.KEY=VALUE", help="as for run.py")
    parser.add_argument("--task", metavar="KIND", help="the kind of task (default: found)")
    options = parser.parse_with_settings(arguments)
    print_log_messages()
    from benchmarks.config.data_kinds import kind_of, loaded
    from benchmarks.config.overrides import quoted_override, quoted_value, shell_word
    from benchmarks.config.validation import missing_baselines

    path = str(options.path)
    overrides = [*map(quoted_override, options.overrides)]
    kind, reason = (options.task, "") if options.task else kind_of(Path(path), overrides)
    settings, task = loaded(kind, path, overrides)
    lines = {"task": f"{kind} ({reason})" if reason else kind, **task.summary()}
    width = max(map(len, lines)) + 2
    for title, text in lines.items():
        print(visible(f"{title:<{width}}{text}"))
    for notice in (*task.data.notices, *missing_baselines(settings.baselines())):
        print(f"note: {visible(notice)}")
    words = [f"task={kind}", f"task.data={quoted_value(path)}", *overrides]
    data = " ".join(map(shell_word, words))
    print(f"\npython run.py model=lstm {data}")
    print(f"python run.py -m model=baseline,rnn,lstm,gru {data} seed=0,1,2,3,4")
    print("python scripts/compare.py results --planned 5")
    return 0


if __name__ == "__main__":
    run_script(main)
