"""Character language modelling of tiny Shakespeare, a data set of `tasks.language`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tasks.base import Cache, DataError, Metric, Task, setting
from tasks.language.settings import LanguageSettings

BUNDLED = Path(__file__).parent / "data" / "tinyshakespeare.txt"


@dataclass
class ShakespeareSettings(LanguageSettings):
    """Next-character prediction in one long text."""

    name: ClassVar[str] = "shakespeare"
    primary_metric: ClassVar[Metric] = Metric(
        "perplexity", "per character", higher_is_better=False, perfect=1.0, margin="2%"
    )

    corpus: str | None = setting(
        None,
        "path of a UTF-8 text file; null for the bundled tiny Shakespeare",
        identity=False,
        is_path=True,
    )
    sample_chars: int = setting(
        400, "characters to generate after training", minimum=0, identity=False
    )

    @property
    def sample_length(self) -> int:
        """See `LanguageSettings.sample_length`."""
        return self.sample_chars

    def check(self) -> None:
        """Check the path of the corpus."""
        if self.corpus is not None and not Path(self.corpus).is_file():
            raise DataError(f"task.corpus={self.corpus}: no such file")

    def load(self, cache: Cache) -> Task:
        """Read and split the text; it is too small to need the cache."""
        from tasks.language.sources import Corpus, read_corpus
        from tasks.language.task import LanguageTask
        from tasks.language.vocabulary import tokenise

        where = f"task.corpus={self.corpus}"
        corpus = read_corpus(BUNDLED if self.corpus is None else Path(self.corpus), where)
        if self.corpus is None:
            corpus = Corpus(corpus.text, "tiny Shakespeare (bundled)", where)
        return LanguageTask(self, corpus, tokenise(corpus, self.split, cache))
