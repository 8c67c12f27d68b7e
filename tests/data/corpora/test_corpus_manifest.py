"""Manifests: those of the package can be read, and mistakes in others are one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from music_reformer.cli import compose_config
from music_reformer.data.corpora.corpus_manifest import CorpusManifest, manifest_path, read_manifest
from music_reformer.errors import UserError

MANIFESTS = sorted(path.stem for path in manifest_path("pop909").parent.glob("*.yaml"))


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_manifest_of_the_package_is_complete(name: str) -> None:
    manifest = read_manifest(name)
    assert manifest.name == name
    assert manifest.source.startswith("https://")
    assert manifest.licence
    assert manifest.citation
    assert (manifest.archive is None) != (manifest.by_hand is None)


@pytest.mark.parametrize("name", compose_config("prepare", ["corpus=open", "corpus.path=i"]).corpus.members)
def test_corpora_that_may_be_shipped_state_their_attribution(name: str) -> None:
    manifest = read_manifest(name)
    assert "may be shipped" in manifest.licence
    assert "NC" not in manifest.licence
    assert manifest.attribution
    # It travels with the weights.
    card = (Path(__file__).parents[3] / "music_reformer" / "pretrained" / "MODEL_CARD.md").read_text()
    assert f"- `{name}`: {' '.join(manifest.attribution.split())}" in " ".join(card.split())
    if name != "pop909":  # which is downloaded as an archive
        assert len(manifest.commit) == 40
        assert manifest.sha256


def test_without_a_manifest_each_file_is_a_composition() -> None:
    manifest = read_manifest(None)
    assert manifest == CorpusManifest()
    assert manifest.composition == "file"
    assert manifest.variant.search("anything") is None
    assert manifest.exclude.fullmatch("") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("composition: author", r"composition \('author'\) must be one of file, folder, name"),
        ("variant: (", r"variant .* is not a regular expression"),
        ("exclude: 5", r"exclude \(5\) must be text"),
        ("name: [a, b]", r"name \(\['a', 'b'\]\) must be text"),
        ("license: MIT", "has an unknown key license; it may have name"),
        ("archive: {url: x, sha256: 123}", r"archive\.sha256 \(123\) must be 64 digits"),
        ("archive: {address: x}", "archive must have the same keys as in the manifests"),
        ("- a list", "must be a YAML mapping"),
        ("a: [", "cannot be read"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.yaml").write_text(text + "\n")
    with pytest.raises(UserError, match=message) as caught:
        read_manifest(str(tmp_path / "bad.yaml"))
    assert "\n" not in str(caught.value)


def test_a_manifest_that_does_not_exist() -> None:
    with pytest.raises(UserError, match="the manifest nothing cannot be read"):
        read_manifest("nothing")
