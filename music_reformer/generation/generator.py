"""The entry point for composing: page, batch, tests and benchmarks use it.

    generator = Generator.load("pretrained")
    session = generator.start(score, Request(length="16bars", variations=2, seed=1))
    for progress in generator.compose(session):  # new notes, as they are composed
        ...
    session.scores[0]  # the piece, event for event, and the continuation

Guarantees: the same weights, piece and request give exactly the same notes on the same machine with the same number of
threads. On the CPU, variation k of a seed does not depend on the number of variations, nor on what is composed beside
it (`loop.py`). On a GPU, a matrix product over more rows rounds differently (logits differ by 1e-6), so about one piece
in a hundred differs.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import symusic

from music_reformer.config import require
from music_reformer.generation.cast import with_new_tracks
from music_reformer.generation.closing import cadence
from music_reformer.generation.director import Director
from music_reformer.generation.ensemble import modulation_to
from music_reformer.generation.hole import read_hole
from music_reformer.generation.loop import compose
from music_reformer.generation.manners import MannerPlan
from music_reformer.generation.prompt import PIANO, Prompt, read_prompt
from music_reformer.generation.recall import Recall, modulated, read_bars
from music_reformer.generation.request import CHORDS_OF_PIECE, FORM_OF_PIECE, Request
from music_reformer.generation.session import Session, SessionProgress
from music_reformer.generation.study import Lesson, Study
from music_reformer.midi.cut import blank_score, keep_before
from music_reformer.midi.form import sections_of
from music_reformer.midi.form_plan import RecalledBar
from music_reformer.midi.lead_sheet import LeadSheet, lead_sheet_of
from music_reformer.midi.parts_reader import PartsReader
from music_reformer.midi.returns import likely_returns
from music_reformer.midi.score import DEFAULT_METRE, bar_starts, count_bars
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.decoder import Decoder
from music_reformer.model.weights import load_weights


class Generator:
    """A decoder and its tokenizer, ready to compose. Sessions in several threads may share one generator.

    Args:
        decoder: the model.
        tokenizer: the tokenizer that the model was trained with.
        fingerprint: fingerprint of the weights, for records.
        can_infill: whether the model has learnt to recompose bars (`augment.infill`).
        knows_names: whether it has learnt the names of instruments in front of bars (`augment.named`).
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: MusicTokenizer,
        *,
        fingerprint: str = "",
        can_infill: bool = True,
        knows_names: bool = False,
    ) -> None:
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.can_infill, self.knows_names = can_infill, knows_names

    @classmethod
    def load(
        cls, checkpoint: str | Path = "pretrained", device: str = "auto", *, rows: int = 1, prepared: bool = True
    ) -> Generator:
        """Load weights onto a device.

        Args:
            checkpoint: the weights, as in `load_weights`: a folder, a .ckpt file, or "pretrained".
            device: the device that reads prompts; "auto": a GPU if there is one. Steps run on a GPU only if many rows
                are composed together (`Decoder.on_device`).
            rows: expected number of variations in a step, of one prompt or several; not a limit.
            prepared: compile the steps now; False: `prepare` or the first composition does.

        Raises:
            UserError: the weights or the device do not exist or cannot be used.
        """
        loaded = load_weights(checkpoint)
        tokenizer = MusicTokenizer.from_json(loaded.tokenizer_settings)
        generator = cls(
            Decoder.on_device(loaded.model, device, rows=rows),
            tokenizer,
            fingerprint=loaded.fingerprint,
            can_infill=loaded.can_infill,
            knows_names=loaded.knows_names,
        )
        if prepared:
            generator.prepare()
        return generator

    def prepare(self) -> None:
        """Compile the steps, which takes seconds, unless that is done; any thread may call it."""
        self.decoder.prepare()

    @property
    def can_end(self) -> bool:
        """Whether requests for an ending can be met."""
        return self.knows_names and self.tokenizer.vocabulary.part_by_part

    @property
    def can_be_steered(self) -> bool:
        """Whether requests for chords, density, polyphony, register and dynamics can be met."""
        return self.tokenizer.vocabulary.part_by_part

    def start(self, score: symusic.Score | None, request: Request, *, stop: threading.Event | None = None) -> Session:
        """Prepare a session; nothing is composed before `compose` is iterated over.

        Args:
            score: the piece, in ticks; it is not altered. None: compose from nothing, at 120 quarters per minute, in
                the requested metre or 4/4.
            request: what to compose.
            stop: ends the session when it is set, from any thread; what has been composed stays.

        Raises:
            UserError: the piece does not have the bars, tracks or notes that the request names, or these weights cannot
                do what is asked.
        """
        if score is None:
            metre = request.parsed_metre() or DEFAULT_METRE
            score = blank_score(request.programs or [PIANO], key=request.parsed_key(), metre=metre)
        score = with_new_tracks(score, request)
        prompt = self._read(score, request)
        chords = _chords(prompt, request)
        planned, piece = _planned(prompt, request)
        return Session(
            prompt,
            request,
            decoder=self.decoder,
            stop=stop or threading.Event(),
            chords=chords,
            recall=self._recall(prompt, request, planned, piece),
            manners=self._manners(prompt, request, planned),
        )

    def study(self, score: symusic.Score, request: Request) -> Study:
        """Prepare to train on the piece, as far as the model would read it, for `request.study` steps; see `Study`.

        Raises:
            UserError: as in `start`.
        """
        prompt = self._read(with_new_tracks(score, request), request)
        ids = prompt.past_ids if prompt.until_tick is None else prompt.ids
        return Study(self.decoder.model, ids, self.tokenizer.vocabulary, steps=request.study)

    def taught(self, lesson: Lesson) -> Generator:
        """A generator with the weights changed by a lesson; this generator if nothing was learnt."""
        if not lesson.changes:
            return self
        decoder = Decoder(lesson.applied(self.decoder.model), compile_step=self.decoder.steps_are_compiled)
        taught = copy.copy(self)
        taught.decoder = decoder
        return taught

    def compose(self, session: Session) -> Iterator[SessionProgress]:
        """Compose a session, and yield a report several times a second and when the session is over."""
        for _, progress in compose([session]):
            yield progress

    def compose_together(
        self, sessions: Iterable[Session], *, max_rows: int
    ) -> Iterator[tuple[Session, SessionProgress]]:
        """Compose sessions side by side, up to `max_rows` variations in a step; see `loop.compose`."""
        return compose(sessions, max_rows=max_rows)

    def _read(self, score: symusic.Score, request: Request) -> Prompt:
        """Check that the request can be met, and read the piece."""
        steers = request.chords is not None or request.form not in (None, FORM_OF_PIECE) or request.asks_for_change
        require(
            self.can_be_steered or not steers,
            "these weights cannot follow chords, form, density, polyphony, register or dynamics; leave these out",
        )
        require(
            self.can_be_steered or not (request.parts or request.locked),
            "these weights tell instruments apart, but not tracks; leave parts and locked out",
        )
        require(
            self.can_be_steered or request.metre is None or not score.note_num(),
            "these weights cannot change the metre; leave the setting metre out",
        )
        # At most half of the positions; the others are for the new music.
        max_tokens = max(2, self.decoder.config.max_length // 2)
        if request.until_bar is None:
            can_be_told = not request.ending or self.can_end
            require(can_be_told, "these weights cannot be told to end a piece (ending); continue it instead")
            return read_prompt(score, request, tokenizer=self.tokenizer, max_tokens=max_tokens, named=self.knows_names)
        require(self.can_infill, "these weights cannot recompose bars; train them with augment.infill")
        return read_hole(score, request, tokenizer=self.tokenizer, max_tokens=max_tokens)

    def _manners(self, prompt: Prompt, request: Request, planned: Sequence[RecalledBar | None]) -> MannerPlan | None:
        """The manners of sections of new bars; None if something else is requested."""
        if request.form is None or not _may_return(prompt, request):
            return None
        num_bars = prompt.bars_in(request.parsed_length())
        reader = PartsReader(self.tokenizer.vocabulary)
        return MannerPlan(reader, np.array(prompt.past_ids), planned, num_bars, ends=request.ending)

    def _recall(
        self, prompt: Prompt, request: Request, planned: list[RecalledBar | None], piece: symusic.Score
    ) -> Recall | None:
        """Brings back the bars of the piece that are requested or probably return; None if there are none."""
        if request.ending:  # the last two bars are a cadence
            planned = planned[: max(0, prompt.bars_in(request.parsed_length()) - 2)]
        if not any(planned):
            return None
        vocabulary = self.tokenizer.vocabulary
        ids = self.tokenizer.encode(piece)
        music = read_bars(vocabulary, ids.tolist(), {each.bar for each in planned if each is not None})
        modulation = modulation_to(request.parsed_key(), PartsReader(vocabulary).notes(ids))
        return Recall(
            vocabulary,
            planned,
            {number: modulated(bar, modulation, vocabulary) for number, bar in music.items()},
            metre=prompt.state.metre,
            writes_chords=not prompt.stays,
            cast=prompt.cast,
        )


def _planned(prompt: Prompt, request: Request) -> tuple[list[RecalledBar | None], symusic.Score]:
    """The bar that returns in each new bar, and the piece that they are from: up to the cut, or all with a hole."""
    if request.form is None or (request.form == FORM_OF_PIECE and not _may_return(prompt, request)):
        return [], prompt.written
    piece = prompt.written
    if request.until_bar is None:
        piece = keep_before(piece, prompt.cut_tick)
    num_bars = count_bars(piece) if request.until_bar is not None else _bars_before(piece, prompt.cut_tick)
    if request.form == FORM_OF_PIECE:
        return likely_returns(piece, num_bars, prompt.bars_in(request.parsed_length())), piece
    require(bool(piece.note_num()), "form needs a piece whose bars can come again; leave it out")
    form = request.parsed_form()
    assert form is not None
    return form.bars(sections_of(piece), num_bars), piece


def _bars_before(score: symusic.Score, tick: int) -> int:
    return sum(line < tick for line in bar_starts(score))


def _may_return(prompt: Prompt, request: Request) -> bool:
    """Whether bars of the piece may return, and sections change, without being requested: not if something else is.

    Nor if there are new parts: they would have nothing to play in returning bars.
    """
    asked = (request.until_bar, request.chords, request.key, request.metre)
    asks_else = any(each is not None for each in asked) or request.asks_for_change or bool(prompt.cast.unheard)
    is_free = not asks_else and request.sampling.hold > 0
    return is_free and prompt.state.vocabulary.part_by_part and bool(prompt.score.note_num())


def _chords(prompt: Prompt, request: Request) -> LeadSheet | None:
    """The requested chords, from the first new bar on; if none and an ending is requested, a cadence at the end."""
    if request.chords is None and request.ending and isinstance(prompt.reminder, Director):
        key = prompt.reminder.directions.key
        return cadence(key, prompt.bars_in(request.parsed_length())) if key is not None else None
    if request.chords != CHORDS_OF_PIECE:
        return request.parsed_chords()
    clean = prompt.written
    cut = _bars_before(clean, prompt.cut_tick)
    if request.until_bar is not None:
        return lead_sheet_of(clean, cut, request.until_bar)
    require(cut > 0, f'chords="{CHORDS_OF_PIECE}" needs a piece with chords before the cut; type them instead')
    sheet = lead_sheet_of(clean, max(0, cut - (request.parsed_length().bars or cut)), cut)
    return replace(sheet, repeat_from=0)
