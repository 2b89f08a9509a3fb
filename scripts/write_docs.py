"""Write the parts of the documentation that the code or a measured table determines.

    python scripts/write_docs.py           writes them
    python scripts/write_docs.py --check   exits with 1 if one is out of date

docs/results.md and docs/settings.md come from dataclasses. Other pages are filled between
`<!-- table: FILE -->`, `<!-- headline: FILE -->`, `<!-- compare: FILE -->`,
`<!-- printed: FILE TASK -->`, `<!-- choice: FILE KEY -->`, `<!-- ablation: FILE KEY -->`,
`<!-- targets: FILE -->`, `<!-- ratios: FOLDER -->` or `<!-- recipes: FOLDER -->` and
`<!-- end -->`.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import PROJECT_ROOT
from benchmarks.system.program import ScriptParser, run_script

FILLED = (
    *("README.md", "docs/published.md", "docs/example.md", "docs/performance.md"),
    *("docs/recipes.md", "docs/compare.md"),
)


def generated_pages() -> dict[Path, str]:
    """Return the pages that are written as a whole."""
    from scripts.documentation.reference import results_page, settings_page

    docs = PROJECT_ROOT / "docs"
    return {docs / "results.md": results_page(), docs / "settings.md": settings_page()}


def block_kinds() -> dict[str, Callable[..., str]]:
    """Return the functions that fill the blocks, by their names in the pages."""
    from scripts.documentation import ratios, recipes, scores, searches, targets

    return {
        "table": scores.measured_table,
        "compare": scores.comparison_text,
        "headline": scores.headline_table,
        "printed": scores.printed_comparison,
        "choice": searches.choice_table,
        "ablation": searches.ablation_table,
        "ratios": ratios.ratios_table,
        "recipes": recipes.recipe_tables,
        "targets": targets.targets_table,
    }


def filled_page(page: Path, kinds: dict[str, Callable[..., str]]) -> str:
    """Fill measured tables and their comparisons into a page's text."""

    def fill(match: re.Match[str]) -> str:
        source, *options = match[3].split()
        with contextlib.chdir(PROJECT_ROOT):  # notes contain the path of the table
            block = kinds[match[2]](Path(source), *options)
        return f"{match[1]}\n{block}{match[4]}"

    pattern = rf"(<!-- ({'|'.join(kinds)}): (\S+(?: \S+)?) -->)\n.*?(<!-- end -->)"
    return re.sub(pattern, fill, page.read_text(encoding="utf-8"), flags=re.DOTALL)


def main(arguments: list[str] | None = None) -> int:
    """Write or check; returns the exit code."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    # Started as a file, the program has its own folder on the path, and not the project's.
    sys.path.insert(0, str(PROJECT_ROOT))
    kinds = block_kinds()
    pages = generated_pages() | {
        page: filled_page(page, kinds) for page in (PROJECT_ROOT / name for name in FILLED)
    }
    stale = [p for p, text in pages.items() if not p.exists() or p.read_text("utf-8") != text]
    for page in stale:
        print(f"{'out of date' if check else 'written'}: {page.relative_to(PROJECT_ROOT)}")
        if not check:
            page.write_text(pages[page], encoding="utf-8")
    return 1 if stale and check else 0


if __name__ == "__main__":
    run_script(main)
