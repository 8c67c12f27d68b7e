"""Documentation: links are valid, pages keep to their lengths, and commands use existing settings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from music_reformer.cli import VERBS, compose_config
from music_reformer.errors import UserError

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "music_reformer"
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "datasets" / "README.md", *PACKAGE.glob("**/*.md")]
)
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ +(.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    """Relative links and images of a page whose targets do not exist."""
    for link in re.findall(r"\]\(([^()\s]+)\)", FENCED.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        # A fragment of a page; files of other kinds have none.
        if not target.exists() or (fragment and fragment not in anchors(target)):
            yield link


def commands(text: str) -> Iterator[list[str]]:
    """Verb and arguments of each `music-reformer` command in the fenced blocks of a page."""
    for block in FENCED.findall(text):
        for line in re.findall(r".*\bmusic-reformer .*", block.replace("\\\n", " ")):
            words = shlex.split(line, comments=True)
            named = [index for index, word in enumerate(words) if word.split("/")[-1] == "music-reformer"]
            if named and len(words) > named[0] + 1:
                yield words[named[0] + 1 :]


ALL_COMMANDS = [(page_name(page), words) for page in PAGES for words in commands(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_and_pictures_exist(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One heading\n[a](page.md#one-heading) [b](page.md#another) ![c](none.png) [d](https://x.org)\n")
    assert list(broken_links(page)) == ["page.md#another", "none.png"]


@pytest.mark.parametrize(("page", "words"), ALL_COMMANDS, ids=[f"{page}: {words[0]}" for page, words in ALL_COMMANDS])
def test_commands_use_settings_that_exist(page: str, words: list[str]) -> None:
    verb, *arguments = words
    assert verb in VERBS or verb == "VERB", f"{page} names a verb that does not exist: {verb}"
    if verb == "VERB" or "--help" in arguments:
        return
    if verb == "sweep":  # one training of several: the first value of each list, and Hydra's own settings aside
        arguments = [word.split(",")[0] for word in arguments if not word.startswith("hydra")]
    compose_config(verb, [word for word in arguments if word != "--show"])


def test_most_verbs_are_shown() -> None:
    shown = {words[0] for _, words in ALL_COMMANDS}
    assert set(VERBS) <= shown


def test_a_misspelt_setting_in_the_docs_is_found() -> None:
    (words,) = commands("```\nmusic-reformer train data=x \\\n    trainer.max_stepz=3  # a comment\n```\n")
    assert words == ["train", "data=x", "trainer.max_stepz=3"]
    with pytest.raises(UserError, match="max_stepz"):
        compose_config(words[0], words[1:])


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "api.md"], ids=page_name)
def test_lines_are_short_enough_to_read(page: Path) -> None:
    long = [number for number, line in enumerate(page.read_text().splitlines(), 1) if len(line) >= 150]
    assert long == []


def test_files_that_the_architecture_names_exist() -> None:
    named = re.findall(r"`([\w/.]+\.(?:py|js|html|yaml))`", (ROOT / "docs" / "architecture.md").read_text())
    assert len(named) > 30
    folders = (ROOT, PACKAGE, PACKAGE / "model" / "attention")
    assert [name for name in named if not any((folder / name).exists() for folder in folders)] == []


def test_files_in_the_tree_of_the_readme_exist() -> None:
    tree = max(FENCED.findall((ROOT / "README.md").read_text()), key=len)
    names = {path.name for path in [*PACKAGE.rglob("*"), *ROOT.iterdir(), *(ROOT / "tests").iterdir()]}
    named = re.findall(r"([\w-]+(?:\.py|\.js|/))", tree)
    assert len(named) > 30
    assert [name for name in named if name.rstrip("/") not in names] == []
