"""Editing notes: all other bytes of a file stay."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable

import pytest
import symusic

from helpers import midi_bytes as make
from helpers.rich_midi import events_of, rich_file
from helpers.scores import two_pianos_and_drums
from music_reformer.errors import UserError
from music_reformer.midi.edit import Change, FileNote, edited
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.score import read_score
from music_reformer.midi.smf import FileLimits, read_file, read_spans, read_track

ON, OFF = 0x90, 0x80
LIMITS = FileLimits(5_000_000)


def notes_of(data: bytes) -> list[FileNote]:
    return [
        FileNote(index, note.time, note.duration, note.pitch, note.velocity)
        for index, track in enumerate(read_score(data).tracks)
        for note in track.notes
    ]


def edit(data: bytes, *changes: Change) -> bytes:
    return edited(data, read_score(data), changes)


def bodies(data: bytes) -> list[bytes]:
    return [data[begin:end] for begin, end in read_file(data, "it", LIMITS).bodies]


def by_list(notes: Iterable[FileNote], changes: Iterable[Change]) -> list[FileNote]:
    """The oracle: the same changes to a plain list of notes."""
    left = list(notes)
    for old, new in changes:
        if old is not None:
            left.remove(old)
        if new is not None:
            left.append(new)
    return left


def keys_of(notes: Iterable[FileNote]) -> dict[tuple[int, int], tuple[list[tuple[int, int]], list[int]]]:
    """Strikes and releases by track and pitch, which is all that MIDI can express of nested notes."""
    keys: dict[tuple[int, int], tuple[list[tuple[int, int]], list[int]]] = defaultdict(lambda: ([], []))
    for note in notes:
        keys[note.track, note.pitch][0].append((note.tick, note.velocity))
        keys[note.track, note.pitch][1].append(note.end)
    return {key: (sorted(strikes), sorted(releases)) for key, (strikes, releases) in keys.items()}


def random_changes(rng: random.Random, notes: list[FileNote], tracks: list[int]) -> list[Change]:
    changes: list[Change] = []
    for note in rng.sample(notes, min(len(notes) - 1, 12)):
        moved = FileNote(
            note.track,
            max(0, note.tick + rng.choice((0, 0, -240, 7, 960))),
            max(1, note.length + rng.choice((0, 0, -100, 333))),
            min(127, max(0, note.pitch + rng.choice((0, 0, 1, -12)))),
            rng.choice((note.velocity, 1, 127)),
        )
        changes.append((note, rng.choice((moved, moved, None))))
    for _ in range(4):
        changes.append((None, FileNote(rng.choice(tracks), rng.randrange(9000), rng.randrange(1, 700), 60, 77)))
    return changes


def odd_file() -> bytes:
    """Running status, releases as strikes of velocity 0, overlaps of one pitch, stray releases, hanging notes."""
    first = (
        make.meta(0, 3, b"Odd")
        + make.event(0, 0xC0, 0)
        + make.event(0, ON, 60, 80)
        + make.event(100, 64, 70)  # running status
        + make.event(50, 60, 70)  # overlaps the first of its pitch
        + make.meta(0, 5, b"la")
        + make.event(30, ON, 60, 0)
        + make.event(20, 64, 0)
        + make.event(300, 60, 0)
        + make.event(10, OFF, 71, 3)  # a stray
        + make.event(10, ON, 72, 90)  # hangs
        + make.event(0, 0xB0, 7, 99)
        + b"\x80\x05"
        + bytes((ON, 50, 50))  # a wait in more bytes than needed
        + make.event(40, OFF, 50, 1)
        + make.event(900, 0xF7, 1, 0x43)
    )
    drums = (
        make.event(0, ON | 9, 36, 90)
        + make.event(0, OFF | 9, 36, 0)
        + make.event(480, ON | 9, 38, 90)
        + make.event(9, OFF | 9, 38, 0)
    )
    return make.midi(first, make.scale(channel=1), drums, make.scale(channel=2))


FILES = {
    "waltz": EXAMPLES["waltz"].score().dumps_midi(),
    "rich": rich_file(),
    "one track": rich_file(midi_format=0),
    "two pianos": two_pianos_and_drums().dumps_midi(),
    "in unison": two_pianos_and_drums(in_unison=True).dumps_midi(),
    "odd": odd_file(),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("seed", range(4))
def test_the_notes_are_those_of_an_edited_list(name: str, seed: int) -> None:
    data = FILES[name]
    notes = notes_of(data)
    # On channels whose program changes within the piece, a note may not be welcome.
    tracks = [note.track for note in notes] if name not in ("rich", "one track") else [notes[-1].track]
    changes = random_changes(
        random.Random(seed), notes if len(set(tracks)) > 1 else [n for n in notes if n.track == tracks[0]], tracks
    )
    written = edit(data, *changes)
    assert keys_of(notes_of(written)) == keys_of(by_list(notes, changes))


@pytest.mark.parametrize("name", FILES)
def test_an_edit_and_its_inverse_give_the_same_notes(name: str) -> None:
    data = FILES[name]
    for note in notes_of(data)[::7]:
        moved = FileNote(note.track, note.tick, note.length + 5, note.pitch + 1, 100)
        for there in (moved, None):
            back = edit(edit(data, (note, there)), (there, note))
            assert keys_of(notes_of(back)) == keys_of(notes_of(data))


@pytest.mark.parametrize("name", FILES)
def test_all_other_events_stay(name: str) -> None:
    data = FILES[name]
    notes = notes_of(data)
    note = notes[len(notes) // 2]
    written = edit(data, (note, None))
    gone = Counter(events_of(data)) - Counter(events_of(written))
    assert sum(gone.values()) == 2, gone
    assert Counter(events_of(written)) - Counter(events_of(data)) == Counter()
    changed = [before != after for before, after in zip(bodies(data), bodies(written), strict=True)]
    assert sum(changed) == 1, "the chunks of other tracks are copied"


def test_a_byte_is_changed_in_place() -> None:
    data = FILES["odd"]
    note = next(note for note in notes_of(data) if note.pitch == 64)
    written = edit(data, (note, FileNote(note.track, note.tick, note.length, 65, 71)))
    assert len(written) == len(data)
    places = [place for place in range(len(data)) if data[place] != written[place]]
    assert [(data[place], written[place]) for place in places] == [(64, 65), (70, 71), (64, 65)]


def test_running_status_and_long_waits_stay_around_a_removed_note() -> None:
    data = FILES["odd"]
    note = next(note for note in notes_of(data) if note.pitch == 64)
    body, written = bodies(data)[0], bodies(edit(data, (note, None)))[0]
    assert b"\x80\x05" + bytes((ON, 50, 50)) in written
    # Two events of three bytes, of running status and with a wait of one byte each.
    assert len(body) - len(written) in (5, 6)
    assert read_track(written).is_plain == read_track(body).is_plain


def test_overlapping_notes_of_one_pitch_end_in_the_order_of_their_beginnings() -> None:
    data = make.midi(make.note(60, length=1000) + make.note(62))
    written = edit(data, (None, FileNote(0, 200, 100, 60, 90)))
    assert [(note.tick, note.length) for note in notes_of(written) if note.pitch == 60] == [(80, 220), (200, 880)]


def test_added_notes_may_adjoin_notes_of_the_same_key() -> None:
    data = make.midi(make.note(60, length=400))
    written = edit(data, (None, FileNote(0, 480, 480, 60, 90)), (None, FileNote(0, 0, 80, 60, 90)))
    assert [(note.tick, note.length) for note in notes_of(written)] == [(0, 80), (80, 400), (480, 480)]


def test_the_end_of_the_track_moves_only_as_far_as_it_must() -> None:
    data = make.midi(make.note(60) + make.meta(1000, 6, b"end"))
    note = notes_of(data)[0]
    assert read_track(bodies(edit(data, (note, FileNote(0, 80, 900, 60, 80))))[0]).end_tick == 1480
    assert read_track(bodies(edit(data, (note, FileNote(0, 80, 5000, 60, 80))))[0]).end_tick == 5080


def test_a_hanging_note_keeps_its_length_when_the_piece_gets_longer() -> None:
    data = FILES["odd"]
    hanging = next(note for note in notes_of(data) if note.pitch == 72 and note.track == 0)
    written = edit(data, (None, FileNote(2, 50_000, 480, 60, 80)))
    assert hanging in notes_of(written)


def test_an_added_note_joins_its_track_even_among_tracks_of_one_program() -> None:
    data = FILES["in unison"]
    for track in sorted({note.track for note in notes_of(data)}):
        new = FileNote(track, 12_345, 99, 61, 50)
        assert Counter(notes_of(edit(data, (None, new)))) - Counter(notes_of(data)) == Counter([new])


def test_no_note_is_added_if_the_channel_plays_another_instrument() -> None:
    data = rich_file()
    violin = next(note for note in notes_of(data) if note.track == 0)
    with pytest.raises(UserError, match="plays another instrument there"):
        edit(data, (None, FileNote(0, 10_000, 100, 60, 80)))
    with pytest.raises(UserError, match="plays another instrument there"):
        edit(data, (violin, FileNote(0, 10_000, 100, 60, 80)))
    edit(data, (violin, FileNote(0, violin.tick, 100, 61, 80)))


def test_missing_notes_and_tracks_without_notes_are_refused() -> None:
    data = FILES["waltz"]
    with pytest.raises(UserError, match="is not in the piece"):
        edit(data, (FileNote(0, 1, 1, 60, 1), None))
    with pytest.raises(UserError, match="no track 99"):
        edit(data, (None, FileNote(99, 0, 1, 60, 1)))


def test_bytes_outside_track_chunks_stay() -> None:
    data = make.midi(make.scale(), make.scale(up=1), between=make.chunk(b"ours", b"XFIH"), midi_format=1)
    written = edit(data + b"more", (notes_of(data)[0], None))
    assert make.chunk(b"ours", b"XFIH") in written
    assert written.endswith(b"more")
    assert written[:14] == data[:14]


@pytest.mark.parametrize("name", FILES)
def test_read_spans_and_read_track_agree(name: str) -> None:
    for body in bodies(FILES[name]):
        track, spans = read_track(body), read_spans(body)
        assert [(span.tick, span.status) for span in spans[: len(track.ticks)]] == list(
            zip(track.ticks.tolist(), track.statuses.tolist(), strict=True)
        )
        assert "".join(body[span.start : span.end].hex() for span in spans) == body.hex()


def test_symusic_pairs_strikes_and_releases_as_we_do() -> None:
    """The rule that nested notes rely on."""
    data = make.midi(
        make.event(0, ON, 60, 1) + make.event(50, ON, 60, 2) + make.event(20, OFF, 60, 0) + make.event(30, OFF, 60, 0)
    )
    assert [(note.time, note.duration) for note in symusic.Score.from_midi(data).tracks[0].notes] == [(0, 70), (50, 50)]
