"""Numbers as they are written in files: separators, currencies, per cent, K and M."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tasks.base import DataError
from tasks.forecast.cells import Place, first_line, is_empty, shown, spread

if TYPE_CHECKING:
    import pandas as pd

_EXPONENT = r"(?:[eE][+-]?\d+)?"
NUMBER = rf"[+-]?(?:[\d.,]*\d[\d.,]*{_EXPONENT}|inf(?:inity)?)"
FACTORS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def _notation(decimal: str, group: str) -> tuple[str, str, str]:
    """Return patterns: cells that have this decimal mark for certain, may have it, are valid."""
    d, g = f"\\{decimal}", f"\\{group}"
    certain = (
        rf"[+-]?(?:\d+(?:{g}\d{{2,3}})*{g}\d{{3}}{d}\d*|\d+(?:{g}\d{{2,3}})+{g}\d{{3}}|"
        rf"(?:\d{{4,}}|0+|){d}\d+|\d{{1,3}}{d}(?:\d{{1,2}}|\d{{4,}})?){_EXPONENT}"
    )
    possible = rf"[+-]?[1-9]\d{{0,2}}{d}\d{{3}}"
    valid = (
        rf"[+-]?(?:(?:\d+|\d{{1,3}}(?:{g}\d{{2,3}})*{g}\d{{3}})(?:{d}\d*)?|{d}\d+){_EXPONENT}"
        rf"|[+-]?inf(?:inity)?"
    )
    return certain, possible, valid


NOTATIONS = {".": _notation(".", ","), ",": _notation(",", ".")}


def cleaned(cells: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[float]]:
    """Return numbers without spaces, currency and suffix, and the factors of the suffixes.

    Empty cells become None.
    """
    import pandas as pd

    text = cells.str.strip()
    factors = pd.Series(1.0, cells.index)
    special = text[text.notna() & ~text.str.fullmatch(r"[+-]?[\d.,]*\d[\d.,]*", na=False)]
    if not len(special):
        return text, factors
    special = special.mask(is_empty(special), None)
    special = special.str.replace("\u2212", "-").str.replace(r"^\((.*)\)$", r"-\1", regex=True)
    special = special.str.replace(r"^([+-]?) ?[$€£¥₹] ?|(?<=\d) ?[$€£¥₹%]$", r"\1", regex=True)
    spaces = r"(?<=\d)[ \u00a0\u2009\u202f'\u2019](?=\d{3}(?!\d))"
    special = special.str.replace(spaces, "", regex=True)
    suffix = special.str.extract(r"\d([KMBT])$")[0]
    factors[special.index] = suffix.map(FACTORS).astype(float).fillna(1.0)
    text[special.index] = special.where(suffix.isna(), special.str.slice(0, -1))
    return text, factors


def are_numbers(cells: pd.Series[Any]) -> float:
    """Return the share of numbers among some cells that are not empty; 0 if all are."""
    cells = spread(cells.dropna())
    cells = cells[~is_empty(cells)]
    return float(cleaned(cells)[0].str.fullmatch(NUMBER, na=False).mean()) if len(cells) else 0.0


def parse_numbers(
    frame: pd.DataFrame, wanted: list[str], separator: str, place: Place
) -> pd.DataFrame:
    """Return columns as float64, NaN where a cell is empty.

    Args:
        frame: cells as text; all columns of numbers, because one may decide how another is read.
        separator: between the cells of the file; a comma there groups digits here.

    Raises:
        DataError: a cell is not a number, or the decimal mark is ambiguous.
    """
    import pandas as pd

    columns, others = {}, {"": ""}
    for name in wanted:
        text, factors = cleaned(frame[name])
        mark = certain_mark(text, place)
        if not mark and text.str.contains(r"[.,]", na=False).any():
            if "" in others:
                rest = [c for c in frame if c != name]
                others = {str(c): certain_mark(cleaned(frame[c])[0], place) for c in rest}
            known = {other for other in others.values() if other}
            mark = known.pop() if len(known) == 1 else likely_mark(text, separator, place)
        columns[name] = converted(text, mark or ".", frame[name], place) * factors
    return pd.DataFrame(columns, index=frame.index, dtype=float)


def converted(
    text: pd.Series[Any], mark: str, written: pd.Series[Any], place: Place
) -> pd.Series[float]:
    """Return numbers with a decimal mark as float64; refuse others with their line."""
    bad = text.notna() & ~text.str.fullmatch(NOTATIONS[mark][2], case=False, na=False)
    if bad.any():
        line = first_line(bad)
        raise place.error(line, f"{written.name} must be a number: {shown(written[line])}")
    group = "," if mark == "." else "."
    plain = text.map(lambda c: c.replace(group, "").replace(mark, "."), na_action="ignore")
    return plain.map(float, na_action="ignore").astype(float)


def certain_mark(text: pd.Series[Any], place: Place) -> str:
    """Return the decimal mark that the cells of a column prove; empty if none does."""
    proofs = {}
    for mark, (certain, _, _) in NOTATIONS.items():
        pattern, other = re.compile(certain), "," if mark == "." else "."
        for line, cell in text.items():
            # Only these cells can prove the mark; the test of the pattern is slow.
            possible = isinstance(cell, str) and (mark in cell or cell.count(other) > 1)
            if possible and pattern.fullmatch(cell):
                proofs[mark] = f"{cell} in {place.word} {line}"
                break
    if len(proofs) == 2:
        raise DataError(
            f"{place.where}: {text.name} has decimal points ({proofs['.']}) and decimal commas "
            f"({proofs[',']}); write all numbers in one notation"
        )
    return next(iter(proofs), "")


def likely_mark(text: pd.Series[Any], separator: str, place: Place) -> str:
    """Return the decimal mark of a column with cells such as 1,234 and no proof."""
    for mark, other in (".,", ",."):
        ambiguous = text[text.str.fullmatch(NOTATIONS[mark][1], na=False)]
        if not len(ambiguous):
            continue
        if separator != ";" and (mark == "." or separator == ","):
            return "."
        whole = text[text.str.fullmatch(r"[+-]?\d+", na=False)]
        if len(whole):  # 987 beside 1,234 is grouped; 1234 beside 1,234 is not
            return mark if whole.str.lstrip("+-").str.len().max() > 3 else other
        raise place.error(
            ambiguous.index[0],
            f"{text.name}={ambiguous.iloc[0]} is {ambiguous.iloc[0].replace(mark, '')} or "
            f"{ambiguous.iloc[0].replace(mark, '.')}, and no other cell decides; "
            "save the numbers without grouped digits and with a decimal point, as 1234.5",
        )
    return "."
