"""The page and the files beside it, without a browser: complete, escaped, alone, small."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmarks.analysis.compare import compare
from benchmarks.analysis.formatting import rounded
from benchmarks.analysis.selection import Options
from benchmarks.analysis.statistics.common import Interval
from benchmarks.reporting.html.formatting import score_texts, with_minus
from benchmarks.reporting.html.overview import arm_table
from benchmarks.reporting.html.report import anchors, titles
from benchmarks.reporting.html.summary import BEATEN, OPEN, SHOWN, summarise
from scripts.report import main
from tests.helpers import planted
from tests.helpers.paths import ROOT

HEADINGS = {f"h{level}": level for level in range(1, 7)}
LEADS = "gru, better than lstm, at 0.83 times the training time of lstm"
NONE_LEADS = "no network is shown to be better than another"


class Elements(HTMLParser):
    """All elements of a page: names, attributes, and the texts of those that hold any."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.open = tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open, data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def text(made: Path) -> str:
    return (made / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def figures(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the figures of sp500, and the page they are of."""
    folder = tmp_path_factory.mktemp("figures")
    arguments = [str(made / "results"), "-o", str(folder / "page.html"), "--task", "sp500"]
    assert main([*arguments, "--figures", str(folder / "files")]) == 0
    return folder


@pytest.fixture(scope="module")
def elements(text: str) -> Elements:
    return Elements(text)


def embedded(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text, re.S)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_all_that_was_asked_for_is_there(text: str) -> None:
    names = set(embedded(text)["specs"])
    for task, metric in (("sp500", "rmse"), ("shakespeare", "perplexity"), ("imdb", "accuracy")):
        kinds = ["scores", "seeds", "cost-training-time", "cost-memory", "cost-parameters"]
        if task != "imdb":
            kinds += ["curve-steps", "curve-seconds", "curve-tokens"]
        else:
            kinds += ["confusion-1", "confusion-2", "confusion-3"]
        if task == "sp500":
            kinds += ["forecasts", "residuals", "race", "trials"]
        assert {n for n in names if n.startswith(task)} == {f"{task}-{metric}-{k}" for k in kinds}
    for words in ("Samples", "The hardest reviews", "smoke tests", "Arm against arm"):
        assert words in text


def test_text_from_runs_is_text(text: str, elements: Elements) -> None:
    assert planted.HOSTILE not in text
    shown = [data for tag, data in elements.texts if planted.HOSTILE in data]
    assert len(shown) > 10  # title, tables, samples, reviews
    assert len(elements.all("script")) == 3
    charts = re.search(r'id="charts">(.*?)</script>', text, re.DOTALL)
    assert charts is not None
    assert "<" not in charts[1]
    assert planted.HOSTILE in json.dumps(embedded(text))


def test_the_page_needs_nothing_else(text: str, elements: Elements) -> None:
    for name in ("src", "href", "action", "data"):
        for tag, attributes in elements.found:
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
    style = re.search("<style>(.*?)</style>", text, re.S)
    assert style is not None
    assert not re.search(r"url\(|@import", style[1])


def test_the_policy_admits_its_own_scripts_alone(text: str, elements: Elements) -> None:
    (policy,) = [m["content"] or "" for m in elements.all("meta") if "http-equiv" in m]
    assert "default-src 'none'" in policy
    scripts = re.findall("<script>(.*?)</script>", text, re.S)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_whoever_cannot_see_it_is_told(elements: Elements) -> None:
    levels = [HEADINGS[tag] for tag, _ in elements.found if tag in HEADINGS]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    charts = [a for a in elements.all("div") if a.get("class") == "chart"]
    assert charts
    for chart in charts:
        assert chart["role"] == "img"
        assert len(chart["aria-label"] or "") > 40
    assert len(elements.all("figure")) == len(charts)
    assert len(elements.all("summary")) >= len(charts)
    ids = [a["id"] for _, a in elements.found if "id" in a]
    assert len(ids) == len(set(ids))
    for link in elements.all("a"):
        assert (link["href"] or "").removeprefix("#") in ids
    for landmark in ("header", "nav", "main", "footer"):
        assert len(elements.all(landmark)) == 1


def test_every_figure_is_a_picture_too(figures: Path) -> None:
    specs = embedded((figures / "page.html").read_text(encoding="utf-8"))["specs"]
    assert len(specs) == 12
    files = {file.name for file in (figures / "files").iterdir()}
    assert files == {f"{n}.{e}" for n in specs for e in ("png", "svg")} | {"arms.md", "arms.tex"}
    for name in specs:
        png = (figures / "files" / f"{name}.png").read_bytes()
        width, height = struct.unpack(">II", png[16:24])
        assert width > 1000
        assert height > 200
        svg = xml.etree.ElementTree.parse(figures / "files" / f"{name}.svg").getroot()
        assert svg.tag.endswith("svg")
    svg_text = (figures / "files" / "sp500-rmse-scores.svg").read_text()
    assert "Test score of each arm" in svg_text
    assert planted.HOSTILE not in svg_text


def test_the_table_is_markdown_and_latex(figures: Path) -> None:
    markdown = (figures / "files" / "arms.md").read_text(encoding="utf-8")
    header = next(line for line in markdown.splitlines() if line.startswith("| arm"))
    for line in markdown.splitlines():
        if line.startswith("|"):
            assert line.count("|") == header.count("|")
    assert "| gru |" in markdown
    assert "hidden size" in markdown
    assert planted.HOSTILE not in markdown
    latex = (figures / "files" / "arms.tex").read_text(encoding="utf-8")
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1
    assert r"random\_walk" in latex
    assert not re.search(r"(?<!\\)[_%#<>]", latex.replace(r"\_", "").replace(r"\%", ""))


def test_the_summaries_follow_from_the_verdicts(made: Path) -> None:
    options = Options(items=False)
    summaries = {g.task: summarise(g) for g in compare([made / "results"], options).groups}
    assert summaries["imdb"].tone == BEATEN
    assert "every network is worse than nbsvm, the best baseline" in summaries["imdb"].headline
    assert "gru" in summaries["sp500"].text
    headline = summaries["shakespeare"].headline
    assert "every network is worse than kneser_ney, the best baseline" in headline


@pytest.mark.parametrize(
    ("scores", "baseline", "tone", "parts"),
    [
        ((5, 9), None, SHOWN, [LEADS]),
        ((5, 5), None, OPEN, [NONE_LEADS]),
        ((5, 9), 20, SHOWN, [LEADS, "every network beats ar, the best baseline"]),
        ((5, 5), 20, OPEN, [NONE_LEADS, "every network beats ar, the best baseline"]),
        ((5, 9), 7, SHOWN, [LEADS, "gru beats ar, the best baseline; lstm is worse than it"]),
        ((5, 9), 5, OPEN, [LEADS, "gru is not shown to beat ar, the best baseline; lstm is worse"]),
        ((5, 9), 1, BEATEN, [LEADS, "every network is worse than ar, the best baseline"]),
        ((5,), 20, SHOWN, ["gru is the only network; gru beats ar, the best baseline"]),
        ((5,), None, OPEN, ["gru is the only network"]),
        ((), 5, OPEN, ["Baselines only"]),
    ],
)
def test_a_story_for_each_outcome(
    scores: tuple[float, ...],
    baseline: float | None,
    tone: str,
    parts: list[str],
    tmp_path: Path,
) -> None:
    jitter = {"gru": (0, 0.1, -0.1, 0.05, -0.05), "lstm": (0.1, -0.1, 0.0, -0.05, 0.05)}
    rows = [
        planted.row("sp500", model, seed, score + jitter[model][seed])
        for model, score in zip(jitter, scores, strict=False)
        for seed in range(5)
    ]
    if baseline is not None:
        rows.append(planted.row("sp500", "ar", None, baseline, baseline="classical"))
    (group,) = compare([planted.write(tmp_path, rows)]).groups
    summary = summarise(group)
    assert summary.tone == tone
    assert summary.headline.startswith("; ".join(parts))
    if len(scores) == 2:
        assert ("no difference shown" in summary.text) == (scores[0] == scores[1])


def test_arms_of_other_budgets_are_told_apart(tmp_path: Path) -> None:
    rows = [
        planted.row(
            "sp500",
            model,
            seed,
            score + len(model) * (seed % 2) / 50,
            run_id=f"{model}{kind}{seed}",
        )
        | {"match": kind, "match_budget": size, "arm": f"{model}{kind}"}
        for model, score in (("gru", 5.0), ("lstm", 9.0))
        for kind, size in (("time", 1.0), ("hidden", ""))
        for seed in range(3)
    ]
    (group,) = compare([planted.write(tmp_path, rows)]).groups
    summary = summarise(group)
    assert "1 s of training: gru match=time, better than lstm match=time, " in summary.headline
    assert "hidden size: gru match=hidden, better than lstm match=hidden, " in summary.headline
    assert "not comparable" not in summary.text
    assert "Hidden size: " in summary.text
    assert "1 s of training: " in summary.text
    verdicts = [row[3].text for row in arm_table(group).rows]
    assert verdicts.count("best network of its budget") == 2
    assert {row[0].more for row in arm_table(group).rows} == {"", "1 s of training"}


def test_a_task_of_two_metrics_has_two_titles(tmp_path: Path) -> None:
    metrics = ("rmse", "volatility_rmse")
    rows = [planted.row("sp500", "gru", 0, 1.0, run_id=m, arm=m, metric=m) for m in metrics]
    groups = compare([planted.write(tmp_path, rows)]).groups
    assert sorted(titles(groups)) == ["sp500, RMSE", "sp500, volatility RMSE"]


def test_scores_have_the_digits_their_interval_deserves() -> None:
    def texts(mean: float, half: float | None) -> tuple[str, str]:
        low, high = (None, None) if half is None else (mean - half, mean + half)
        return score_texts(Interval(mean, low, high, 1 if half is None else 3))

    assert texts(62.59031, 3.46) == ("62.6", "59.1 to 66.1")
    assert texts(4.853917, 0.0012) == ("4.8539", "4.8527 to 4.8551")
    assert texts(4.876365, None) == ("4.876", "n = 1")
    assert rounded(-0.0004, 3) == "0.000"
    assert with_minus(rounded(-0.0006, 3)) == "−0.001"  # noqa: RUF001


def test_one_seed_is_said_to_show_nothing(tmp_path: Path) -> None:
    rows = [planted.row("sp500", model, 0, len(model)) for model in ("gru", "lstm")]
    (group,) = compare([planted.write(tmp_path, rows)]).groups
    summary = summarise(group)
    assert summary.tone == OPEN
    assert "one seed per arm cannot rank architectures" in summary.text


def test_a_table_alone_makes_a_page_that_says_what_is_missing(tmp_path: Path) -> None:
    results = planted.write(
        tmp_path, [planted.row("imdb", "gru", seed, 0.8 + 0.01 * seed) for seed in range(3)]
    )
    (results / "runs").rmdir()
    out = tmp_path / "page.html"
    assert main([str(results / "results.csv"), "-o", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert "3 of 3 runs of networks have no files next to their table" in text
    assert list(embedded(text)["specs"]) == ["imdb-accuracy-scores"]


def test_a_thousand_rows_stay_small(tmp_path: Path) -> None:
    rows = []
    for model in range(50):
        for seed in range(20):
            score = 20 + model + 0.1 * ((7 * seed + model) % 5)
            rows.append(planted.row("sp500", f"m{model:02d}", seed, score))
            if model < 3:
                planted.leave_history(tmp_path, rows[-1], [30 - 0.01 * i for i in range(500)])
    out = tmp_path / "page.html"
    assert main([str(planted.write(tmp_path, rows)), "-o", str(out)]) == 0
    assert out.stat().st_size < 8e6
    specs = embedded(out.read_text(encoding="utf-8"))["specs"]
    assert "The best 8 of 50 networks are drawn" in out.read_text(encoding="utf-8")
    assert max(len(json.dumps(spec)) for spec in specs.values()) < 4e5


def test_anchors_are_harmless_and_each_once() -> None:
    assert anchors(["a-b", "A/b", "<x>", "…", "a-b"]) == ["a-b", "a-b-2", "x", "task", "a-b-3"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_mistakes_are_answered_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = planted.write(tmp_path / "a", [planted.row("imdb", "gru", 0, 0.8)])
    out = tmp_path / "page.html"
    assert "nothing.csv" in refused(capsys, tmp_path / "nothing.csv", "-o", out)
    assert "there is no folder" in refused(capsys, results, "-o", tmp_path / "x" / "page.html")
    assert "is a folder" in refused(capsys, results, "-o", tmp_path)
    assert "imdb" in refused(capsys, results, "-o", out, "--task", "imbd")
    (tmp_path / "file").write_text("")
    assert "is a file" in refused(capsys, results, "-o", out, "--figures", tmp_path / "file")
    smoke = planted.write(tmp_path / "s", [planted.row("imdb", "gru", 0, 0.8, smoke="true")])
    assert "smoke tests: 1" in refused(capsys, smoke, "-o", out)
    (results / "results.csv").write_text("run_id,status\n")
    assert "error:" in refused(capsys, results, "-o", out)
    assert not out.exists()


def test_the_command_says_what_it_made(tmp_path: Path) -> None:
    results = planted.write(tmp_path, [planted.row("imdb", "gru", 0, 0.8)])
    out = tmp_path / "page.html"
    command = [sys.executable, "scripts/report.py", str(results), "-o", str(out), "--task", "imdb"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"1 comparison in {out}\n"
    assert out.stat().st_size > 100_000
