"""Texts of users: files, folders, formats that are no text, and copied lines."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from tasks.base import DataError
from tasks.language.sources import lines_of, read_corpus, recognise, repeated
from tasks.language.task import LmSettings
from tests.helpers.texts import TEXT, lm

LONG = "This line of a licence is found at the end of every chapter of the book.\n"


def written(folder: Path, content: bytes, name: str = "book.txt") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def refusal(path: Path) -> str:
    """Return the message for a path that cannot be used, without the path; it is one line."""
    with pytest.raises(DataError) as caught:
        read_corpus(path, f"task.data={path}")
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert text.startswith(f"task.data={path}: ")
    return text.replace(str(path), "PATH")


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("word/document.xml", TEXT)
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TEXT.encode("utf-8-sig"), id="byte-order mark"),
        pytest.param(TEXT.encode("utf-16"), id="UTF-16"),
        pytest.param(TEXT.replace("\n", "\r\n").encode(), id="Windows"),
        pytest.param(TEXT.replace("\n", "\r").encode(), id="old Macintosh"),
    ],
)
def test_a_text_is_the_same_in_every_encoding(content: bytes, tmp_path: Path) -> None:
    assert read_corpus(written(tmp_path, content), "task.data").text == TEXT


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "the text is empty", id="empty"),
        pytest.param(b"\n \t\n", "the text is empty", id="blank"),
        pytest.param(b"a" * 500, "one character, 'a', 500 times", id="one character"),
        pytest.param(TEXT.encode("cp1252"), "iconv -f WINDOWS-1252 -t UTF-8 PATH", id="cp1252"),
        pytest.param(TEXT.encode("utf-16-le"), "iconv -f UTF-16LE", id="UTF-16 without mark"),
        pytest.param(b"plain\x00\x01\x02binary" * 9, "byte 5 is zero", id="binary"),
        pytest.param(b"%PDF-1.7\nabc\n" * 9, "the file is a PDF", id="PDF"),
        pytest.param(archive(), "a Word document; save it as plain text", id="docx"),
        pytest.param(gzip.compress(TEXT.encode()), "compressed with gzip", id="gz"),
    ],
)
def test_a_file_without_usable_text_is_refused(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    assert problem in refusal(written(tmp_path, content))


def test_a_text_that_is_too_short_is_refused_with_its_length(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the text has 9 characters, .* 60 characters or more"):
        lm(written(tmp_path, b"too short"))


def test_a_text_with_too_few_words_is_refused_for_words_only(tmp_path: Path) -> None:
    file = written(tmp_path, b"x" * 90 + b" " + b"y" * 60)
    with pytest.raises(DataError, match=r"too few words for validation: 1; .*task.level=char"):
        lm(file, "word")
    assert lm(file).data.train_size == 135


def test_a_text_without_a_frequent_word_is_refused(tmp_path: Path) -> None:
    words = " ".join(f"w{i}" for i in range(100))
    with pytest.raises(DataError, match=r"no word occurs task.minimum_count times"):
        lm(written(tmp_path, words.encode()), "word")


def test_files_of_a_folder_are_joined_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("chapter10.txt", "chapter2.txt", "chapter1.txt", "notes.md", ".hidden.txt"):
        written(tmp_path, f"{name} begins\nand ends".encode(), name)
    written(tmp_path, b"", "chapter3.txt")
    corpus = read_corpus(tmp_path, "task.data")
    names = [line.split()[0] for line in corpus.text.splitlines()[::2]]
    assert names == ["chapter1.txt", "chapter2.txt", "chapter10.txt"]
    assert corpus.text.endswith("and ends\n")
    assert "'chapter1.txt' to 'chapter10.txt'" in corpus.notices[0]
    assert "4 files" in corpus.title


def test_a_folder_of_one_file_is_that_file(tmp_path: Path) -> None:
    corpus = read_corpus(written(tmp_path, b"a text", "book.txt").parent, "task.data")
    assert (corpus.text, corpus.notices) == ("a text\n", ())
    assert corpus.title == f"book.txt of {tmp_path.name}"


def test_a_bad_file_of_a_folder_is_named(tmp_path: Path) -> None:
    written(tmp_path, TEXT.encode(), "good.txt")
    written(tmp_path, b"\xff" * 99, "bad.txt")
    assert "PATH: bad.txt: not UTF-8 text" in refusal(tmp_path)


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).endswith("the folder contains no .txt file")
    written(tmp_path, TEXT.encode(), "deeper/book.txt")
    assert "its subfolders have some" in refusal(tmp_path)


def test_data_is_required_and_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"task.data: is required; give a UTF-8 text file"):
        LmSettings().check()
    with pytest.raises(DataError, match="no such file or folder"):
        LmSettings(data=str(tmp_path / "missing.txt")).check()


# --- what is taken for a text


@pytest.mark.parametrize(
    ("name", "content", "is_text"),
    [
        ("book.txt", TEXT.encode(), True),
        ("book.txt", TEXT.encode("utf-16"), True),
        ("book.txt", ("€" * 3000).encode(), True),  # the sniffed bytes end within a character
        ("book.md", TEXT.encode(), True),
        ("table.txt", b"date\tclose\n" * 30, False),
        ("table.txt", b"a,b,c\n1,2,3\n4,5,6\n7,8,9\n", False),
        ("table.csv", TEXT.encode(), False),
        ("book.txt", b"\x00\x01" * 50, False),
        ("book.txt", TEXT.encode("cp1252"), False),
        ("book.txt", b"", False),
    ],
)
def test_text_files_are_recognised(
    name: str, content: bytes, is_text: bool, tmp_path: Path
) -> None:
    assert bool(recognise(written(tmp_path, content, name))) == is_text


def test_folders_of_texts_are_recognised_unless_they_are_classes(tmp_path: Path) -> None:
    assert not recognise(tmp_path)
    assert not recognise(tmp_path / "missing")
    written(tmp_path, TEXT.encode(), "a.txt")
    written(tmp_path, TEXT.encode(), "b.txt")
    assert recognise(tmp_path) == "a folder of 2 text files"
    written(tmp_path, TEXT.encode(), "pos/1.txt")
    assert not recognise(tmp_path)


# --- copied lines


def test_lines_keep_their_ends() -> None:
    text = "one\n\ntwo\x0bstill two\u2028\n \nlast"
    assert list(lines_of(text)) == ["one\n", "\n", "two\x0bstill two\u2028\n", " \n", "last"]
    assert not list(lines_of(""))


def test_only_long_lines_of_the_other_texts_are_copies() -> None:
    new = "This line is as long as the others but occurs in the test text alone.\n"
    mask = repeated("Amen.\n" + LONG + new + "  " + LONG, [f"x\n{LONG}Amen.\n"])
    sizes = [6, len(LONG), len(new), len(LONG) + 2]
    expected = [False] * 6 + [True] * sizes[1] + [False] * sizes[2] + [True] * sizes[3]
    assert mask.tolist() == expected


@pytest.mark.parametrize("split", ["90/5/5", "nanogpt"])
@pytest.mark.parametrize("level", ["char", "word", "bpe"])
def test_test_tokens_in_copied_lines_are_counted_and_said(
    level: str, split: str, tmp_path: Path
) -> None:
    lines = [
        f"The line with the number {i} occurs exactly once in this book.\n" for i in range(400)
    ]
    lines[100] = lines[398] = LONG
    task = lm(written(tmp_path, "".join(lines).encode()), level, split=split)
    encoded = {"char": len(LONG), "word": len(LONG.split()) + 2}
    line_tokens = len(task.vocabulary.encode(LONG)[0])
    assert task.data.test_in_train == line_tokens == encoded.get(level, line_tokens)
    share = sum(len(line) for line in lines) * (0.05 if split == "90/5/5" else 0.1)
    notices = [text for text in task.data.notices if "contain too" in text]
    assert notices[0].startswith(f"{len(LONG) / share:.1%} of the test text")


def test_short_lines_before_a_long_one_are_no_table(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("It was the best, it was the worst.\n" * 5 + "a, b, c, d. " * 900)
    assert recognise(file) == "a text file"
    file.write_text("text,label\n" + "good,1\n" * 2000)
    assert recognise(file) == ""
