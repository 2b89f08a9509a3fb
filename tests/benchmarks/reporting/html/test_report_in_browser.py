"""The page in a real browser, opened from disk with the network off."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import planted

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_MS = 120_000

ALL_DRAWN = (
    "[...document.querySelectorAll('.chart')].every(place => place.dataset.drawn === 'done')"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    """A headless browser; without one the tests are skipped."""
    paths = [os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS)]
    path = next((path for path in paths if path), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        # Chromium's own sandbox does not start for root, as in containers.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(made: Path) -> str:
    return (made / "page.html").as_uri()


class Opened:
    """A page with what it said and asked for while it was open."""

    def __init__(self, page: sync_api.Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        self.dialogs: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("dialog", self._dismiss)

    def _dismiss(self, dialog: sync_api.Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


def opened(browser: sync_api.Browser, address: str, **settings: object) -> Opened:
    context = browser.new_context(offline=True, **settings)
    page = Opened(context.new_page())
    page.page.goto(address)
    page.page.wait_for_function(ALL_DRAWN, timeout=PATIENCE_MS)
    return page


@pytest.fixture(scope="module")
def wide(browser: sync_api.Browser, address: str) -> Opened:
    return opened(browser, address, viewport={"width": 1280, "height": 900})


def first_column(page: sync_api.Page, body: int = 0) -> list[str]:
    cells = f"#arms tbody:nth-of-type({body + 1}) tr:not(.group):not([hidden]) th"
    return [str(text) for text in page.eval_on_selector_all(cells, NAMES)]


NAMES = "cells => cells.map(cell => cell.firstChild.textContent)"


def scores(page: sync_api.Page, body: int) -> list[float]:
    cells = f"#arms tbody:nth-of-type({body + 1}) tr:not(.group) td:nth-child(2)"
    found = page.eval_on_selector_all(cells, "cells => cells.map(c => Number(c.dataset.value))")
    return [float(value) for value in found]


def test_it_opens_in_silence_and_asks_for_nothing(wide: Opened, address: str) -> None:
    assert wide.said == []
    assert wide.asked == [address]
    assert wide.dialogs == []
    assert wide.page.locator(".chart svg").count() == wide.page.locator(".chart").count() > 20


def test_text_from_runs_is_shown_and_not_run(wide: Opened) -> None:
    page = wide.page
    assert page.locator("h1").inner_text() == f"On {planted.HOSTILE}"
    assert planted.HOSTILE in first_column(page)
    assert planted.HOSTILE in page.locator("pre").first.inner_text()
    assert planted.HOSTILE in page.locator(".chart svg text").all_text_contents()
    assert page.locator("script").count() == 3
    assert wide.dialogs == []


def test_the_table_of_arms_fits_a_small_laptop(browser: sync_api.Browser, address: str) -> None:
    page = opened(browser, address, viewport={"width": 1024, "height": 800}).page
    over = "table => table.scrollWidth - table.parentElement.clientWidth"
    assert page.eval_on_selector("#arms", over) <= 0
    page.context.close()


def test_headers_sort_within_each_task_by_mouse(wide: Opened) -> None:
    page = wide.page
    button = page.get_by_role("button", name="test score")
    header = page.locator("#arms th", has=button)
    button.click()
    assert header.get_attribute("aria-sort") == "ascending"
    for body in range(3):
        assert scores(page, body) == sorted(scores(page, body))
    button.click()
    assert header.get_attribute("aria-sort") == "descending"
    for body in range(3):
        assert scores(page, body) == sorted(scores(page, body), reverse=True)
    # The name of a task stays above its arms.
    assert page.locator("#arms tbody tr:first-child.group").count() == 3


def test_headers_sort_by_keyboard_and_empty_cells_stay_last(wide: Opened) -> None:
    page = wide.page
    page.locator("#filter").focus()
    page.keyboard.press("Tab")  # the table's own box, which scrolls with the arrow keys
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "arm"
    page.keyboard.press("Enter")
    names = first_column(page)
    assert names == sorted(names, key=str.lower)
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.textContent") == "seeds"
    header = page.locator("#arms th", has=page.get_by_role("button", name="seeds"))
    assert header.get_attribute("aria-sort") == "ascending"
    assert page.locator("#arms [aria-sort=ascending]").count() == 1


def test_words_filter_the_arms(wide: Opened) -> None:
    page = wide.page
    page.locator("#filter").focus()
    page.keyboard.type("SP500 gru")
    assert page.locator("#arms tbody:visible").count() == 1
    assert all("gru" in name for name in first_column(page, 2))
    assert page.locator("#found").inner_text() == "2 of 17 arms"
    page.keyboard.press("Enter")  # sends no form
    page.locator("#filter").fill("no such thing")
    assert page.locator("#arms tbody:visible").count() == 0
    assert page.locator("#found").inner_text() == "0 of 17 arms"
    page.locator("#filter").fill("")
    assert page.locator("#arms tbody:visible").count() == 3


def test_a_mark_tells_its_numbers(wide: Opened) -> None:
    page = wide.page
    chart = page.locator("#sp500-rmse-scores .chart")
    chart.scroll_into_view_if_needed()
    chart.locator(f"path[aria-label*='{planted.HOSTILE}']").last.hover(force=True)
    tip = page.locator("#vg-tooltip-element")
    tip.wait_for(state="visible")
    assert planted.HOSTILE in tip.inner_text()
    assert "95 % interval" in tip.inner_text()
    assert wide.dialogs == []


def test_numbers_of_a_figure_open_by_keyboard(wide: Opened) -> None:
    page = wide.page
    details = page.locator("#sp500-rmse-scores details")
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    assert details.locator("table").is_visible()
    assert "gru" in details.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_paper(
    browser: sync_api.Browser, address: str, scheme: str
) -> None:
    page = opened(browser, address, color_scheme=scheme).page
    paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (paper < 0.05) == (scheme == "dark")
    for place in ("body", ".story p", ".note", "td.bad", ".chart svg text", "a", ".facts"):
        for kind in ("fill",) if "svg" in place else ("color",):
            expression = f"e => getComputedStyle(e).{kind}"
            ink = luminance(page.locator(place).first.evaluate(expression))
            lighter, darker = max(ink, paper), min(ink, paper)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (place, ink, paper)


def luminance(colour: str) -> float:
    """Relative luminance of a CSS colour `rgb(r, g, b)`, as WCAG defines it."""
    parts = [float(part) / 255 for part in colour.strip("rgba()").split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_phone_scrolls_tables_and_not_the_page(browser: sync_api.Browser, address: str) -> None:
    page = opened(browser, address, viewport={"width": 360, "height": 740}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    box = page.locator(".scroll", has=page.locator("#arms"))
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    box.evaluate("box => { box.scrollLeft = 300; }")
    # The arm's name stays in sight.
    assert page.locator("#arms tbody tr:nth-child(2) th").first.bounding_box()["x"] >= 0
    for chart in page.locator(".chart svg").all():
        assert chart.evaluate("e => e.getBoundingClientRect().right") <= 360


def test_it_prints_light_and_whole(browser: sync_api.Browser, address: str, tmp_path: Path) -> None:
    page = opened(browser, address, color_scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    assert luminance(page.evaluate("getComputedStyle(document.body).color")) < 0.05
    assert not page.locator("nav").is_visible()
    assert page.locator("#arms").is_visible()
    page.pdf(path=tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
