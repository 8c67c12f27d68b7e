"""Joining drum grooves to pieces: which files are joined, and that all notes are kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import symusic

from music_reformer.config import CorpusConfig, MemberConfig
from music_reformer.data.corpora.collection import corpus_files, files_behind, read_groups
from music_reformer.data.corpora.corpus_manifest import CorpusManifest
from music_reformer.data.corpora.grooves import EARLY, GRID, join, plan_joins

BAR = 4 * GRID


def groove(hits: list[tuple[int, int]], ticks_per_quarter: int = GRID) -> symusic.Score:
    """A score of (tick at `GRID`, pitch)."""
    score = symusic.Score(ticks_per_quarter)
    track = symusic.Track("", 0, True)
    for time, pitch in hits:
        track.notes.append(symusic.Note(time * ticks_per_quarter // GRID, 10, pitch, 64))
    score.tracks.append(track)
    return score


def hits_of(score: symusic.Score) -> list[tuple[int, int]]:
    return sorted((note.time, note.pitch) for note in score.tracks[0].notes)


def bars(num: int, pitch: int) -> list[tuple[int, int]]:
    """Quarters for so many bars."""
    return [(quarter * GRID, pitch) for quarter in range(4 * num)]


def test_only_files_of_one_group_style_and_metre_and_near_tempo_are_joined() -> None:
    files = [
        "d1__s1__10_funk_100_fill_4-4.mid",
        "d1__s1__2_funk_100_beat_4-4.mid",
        "d1__s1__3_funk-soft_108_fill_4-4.mid",
        "d1__s1__4_funk_115_beat_4-4.mid",
        "d1__s1__5_funk_100_beat_3-4.mid",
        "d1__s1__6_rock_100_beat_4-4.mid",
        "d1__s2__7_funk_100_beat_4-4.mid",
        "d2__s1__8_funk_100_beat_4-4.mid",
        "some other.mid",
    ]
    joined = plan_joins(files, dict.fromkeys(files, "g"))
    assert joined["d1__s1__funk_100_4-4.mid"] == [files[1], files[2], files[0]]
    assert sorted(joined.values())[1:] == sorted([file] for file in files[3:])
    apart = plan_joins(files[:2], {files[0]: "g1", files[1]: "g2"})
    assert sorted(apart.values()) == [[files[0]], [files[1]]]


def test_fills_come_evenly_after_phrases_of_four_bars() -> None:
    beat = groove(bars(12, 36))
    fills = [groove(bars(1, 40)), groove(bars(1, 41))]
    names = [f"d__s__{number}_rock_100_{kind}_4-4.mid" for number, kind in ((1, "beat"), (2, "fill"), (3, "fill"))]
    piece = join(list(zip(names, [beat, *fills], strict=True)))
    pitches = [{pitch for time, pitch in hits_of(piece) if time // BAR == bar} for bar in range(14)]
    assert pitches == [*[{36}] * 8, {40}, *[{36}] * 4, {41}]
    assert len(hits_of(piece)) == 48 + 8
    assert [tempo.qpm for tempo in piece.tempos] == pytest.approx([100])
    assert [(each.numerator, each.denominator) for each in piece.time_signatures] == [(4, 4)]
    assert piece.tracks[0].is_drum


def test_hits_around_a_bar_line_go_with_it() -> None:
    """A hit a little early belongs to its bar; a last hit on the line after a fill is kept, but not played twice."""
    early = 5 * BAR - EARLY // 2
    beat = groove([*bars(4, 36), (early - BAR, 49), *((time + 4 * BAR, 36) for time, _ in bars(4, 36))])
    fill = groove([*bars(1, 40), (BAR, 36), (BAR + 3, 57)])
    names = ["d__s__1_rock_100_beat_4-4.mid", "d__s__2_rock_100_fill_4-4.mid"]
    piece = hits_of(join(list(zip(names, [beat, fill], strict=True))))
    assert (early - BAR, 49) in piece  # The fill comes after eight bars, so nothing moved.
    last = 9 * BAR
    assert [hit for hit in piece if hit[0] >= last] == [(last, 36), (last + 3, 57)]
    two = join([(names[1], fill), ("d__s__3_rock_100_fill_4-4.mid", groove([(0, 36), (GRID, 40)]))])
    assert hits_of(two) == [*bars(1, 40), (BAR, 36), (BAR + 3, 57), (BAR + GRID, 40)]


def test_grooves_are_the_same_at_any_ticks_per_quarter() -> None:
    name = "d__s__1_rock_100_beat_4-4.mid"
    one, other = (join([(name, groove(bars(3, 38), ticks))]) for ticks in (480, 96))
    assert hits_of(one) == hits_of(other) == bars(3, 38)


def test_every_groove_here_is_in_one_piece_of_its_own_group(corpora: Path) -> None:
    folder = corpora / "open" / "groove-midi"
    if not folder.is_dir():
        pytest.skip("the drum grooves are not at hand")
    member = MemberConfig(folder="open/groove-midi", join_grooves=True)
    config = CorpusConfig(path=str(corpora), groups="open/groups.csv", members={"groove-midi": member})
    groups = read_groups(config)
    files = {file.source: file for file in corpus_files(config, CorpusManifest())}
    parts = {source: files_behind(config, source) for source in files}
    assert Counter(part for each in parts.values() for part in each) == Counter(
        f"open/groove-midi/{path.name}" for path in folder.glob("*.mid")
    )
    assert 150 < len(files) < 200
    for source, each in parts.items():
        assert {groups["groove-midi", part.rsplit("/", 1)[-1]] for part in each} == {files[source].composition}
    some = sorted(parts, key=lambda source: len(parts[source]))[-3:]
    for source in some:
        scores = [(part, symusic.Score(corpora / part)) for part in parts[source]]
        num_notes = sum(score.note_num() for _, score in scores)
        assert 0.99 * num_notes < join(scores).note_num() <= num_notes
