"""Draw the bundled IMDB subset from the full data set.

    python scripts/data/draw_imdb_subset.py FOLDER [--output tasks/data/imdb]

FOLDER contains train.parquet and test.parquet (columns text, label, id) and movies.parquet (columns
id, movie). A fixed seed draws 2,500 reviews of each label from each official split, only texts that
occur once in the full data set. The ids are stored with the texts, so the draw can be verified.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.system.program import ScriptParser, run_script

SEED = 20110619  # the day Maas et al. presented the data set at ACL 2011
PER_LABEL = 2_500


def draw(folder: Path, output: Path) -> None:
    """Write train.parquet and test.parquet of the subset."""
    movies = pd.read_parquet(folder / "movies.parquet").set_index("id")["movie"]
    frames = {split: pd.read_parquet(folder / f"{split}.parquet") for split in ("train", "test")}
    repeated = pd.concat(frames.values())["text"].value_counts()
    repeated_texts = set(repeated[repeated > 1].index)
    output.mkdir(parents=True, exist_ok=True)
    for split, frame in frames.items():
        frame = frame[~frame["text"].isin(repeated_texts)].sort_values("id")
        drawn = frame.groupby("label").sample(n=PER_LABEL, random_state=SEED).sort_values("id")
        drawn = drawn.assign(movie=drawn["id"].map(movies))[["id", "movie", "label", "text"]]
        file = output / f"{split}.parquet"
        drawn.to_parquet(file, index=False, compression="zstd", compression_level=19)
        print(f"{file}: {len(drawn)} reviews, {file.stat().st_size / 1e6:.2f} MB")


def main() -> int:
    """Run the command and return its exit code."""
    parser = ScriptParser(__doc__)
    parser.add_argument("folder", type=Path, help="folder of the full data set")
    parser.add_argument("--output", type=Path, default=Path("tasks/data/imdb"))
    arguments = parser.parse_args()
    draw(arguments.folder, arguments.output)
    return 0


if __name__ == "__main__":
    run_script(main)
