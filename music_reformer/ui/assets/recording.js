// Recording: what is played becomes notes on a track of the piece or, if none is open, a new piece. A bar
// is counted in, the metronome sounds, and the piece plays along.

import { midiFile, RESOLUTION } from "./midi-file.js";
import { Problem } from "./api.js";
import { count } from "./draw.js";
import { announce, complain } from "./messages.js";
import { barAt, hasTicks, made, placeName, secondsAt, tickAt } from "./notes.js";
import { EMPTY } from "./score.js";
import { Take } from "./taking.js";

const $ = (id) => document.getElementById(id);
const MOST = 800;  // limit on notes in one order
const UNKNOWN = "This piece was kept by an older version of the page. Open its file again to record onto it.";

export class Recording {
  #now = null;  // {version, take, score, track} while recording

  /** `keep(index)` makes a variation the piece; `open(file)` opens a recording as a new piece; `onNoKeyboard()` is
   *  called if no keyboard has been chosen. */
  constructor({ piece, desk, editing, keyboards, metronome, player, saving, settings, keep, open, onNoKeyboard }) {
    Object.assign(this, { piece, desk, editing, keyboards, metronome, player, saving, settings, keep, open, onNoKeyboard });
    $("record").addEventListener("click", () => this.toggle());
    keyboards.onPlayed = (event) => this.#hear(event);
    player.addEventListener("change", () => { if (this.#now && !player.playing) this.#finish(); });
  }

  toggle() {
    if (this.#now) this.player.pause();
    else this.#start().catch(complain);
  }

  /** Update the list of tracks for what is open. */
  follow() {
    const { piece } = this;
    const names = piece.isEmptyPiece ? [] : piece.score.tracks.map(({ name }) => name);
    const select = $("record-track");
    if (names.join("\n") !== [...select.options].map(({ text }) => text).join("\n")) {
      select.replaceChildren(...names.map((name, place) => new Option(name, place)));
    }
    $("record-track-row").hidden = names.length === 0;
    $("record").disabled = !piece.version || Boolean(piece.composition) || (piece.isSaving && !this.#now);
    this.keyboards.track = Math.max(Math.min(Number(select.value) || 0, names.length - 1), 0);
  }

  async #start() {
    const { desk, editing, keyboards, metronome, piece, player } = this;
    if ($("record").disabled) return;
    if (!keyboards.chosen) {
      this.onNoKeyboard();
      return;
    }
    editing.leave();
    if (piece.variation && !await this.keep(piece.version.selected)) return;
    const { version } = piece;
    const score = this.#stage();
    this.follow();
    const from = piece.isEmptyPiece ? 0 : secondsAt(score, barAt(score, tickAt(score, player.time + 0.02)).tick);
    this.#now = { version, score, take: new Take(from), track: keyboards.track };
    piece.draft = { version, score };
    desk.transport.endLoop();
    desk.show({ keepView: !piece.isEmptyPiece, from });
    desk.phase.refresh();
    metronome.sounds = true;
    this.#show();
    announce(`Recording from ${placeName(score, tickAt(score, from))}, after a bar of count-in`);
    await player.record(from);
  }

  /** The score with the notes recorded so far. */
  #stage() {
    const { piece, settings } = this;
    if (!piece.isEmptyPiece) {
      if (!hasTicks(piece.score)) throw new Problem(UNKNOWN);
      return { ...piece.score, notes: [...piece.score.notes] };
    }
    const { metre, tempo, program } = settings.blank;
    const [beats, unit] = metre;
    const ticks = (beats * 4 * RESOLUTION) / unit;
    const seconds = ((ticks / RESOLUTION) * 60) / tempo;
    const name = program < 0 ? "Drums" : this.desk.instruments.nameOf(program);
    const lines = (last) => Array.from({ length: beats + 1 }, (_, beat) => (beat * last) / beats);
    return {
      ...EMPTY, notes: [], tracks: [{ index: 0, name, program: Math.max(program, 0), drum: program < 0 }], metres: [[0, ...metre]],
      tempos: [[0, tempo]], bars: [0, seconds], beats: lines(seconds), barTicks: [0, ticks], beatTicks: lines(ticks), resolution: RESOLUTION,
    };
  }

  #hear(event) {
    if (!this.#now) return;
    const { take, score, track } = this.#now;
    const seconds = this.player.heardAt(event.time);
    if ("pedal" in event) take.pedal(event.pedal, seconds);
    else if (!event.isOn) take.release(event, seconds);
    else {
      const note = take.press(event, seconds);
      if (!note) return;
      const { drum } = score.tracks[track];
      // On the roll, it grows while its key is down.
      const { player } = this;
      score.notes.push({
        pitch: note.pitch, start: note.start, velocity: note.velocity, isNew: true, drum, track,
        get end() { return note.end ?? Math.max(player.time, note.start + 0.05); },
      });
      score.notes.sort((a, b) => a.start - b.start);
    }
    score.seconds = Math.max(score.seconds, seconds);
    this.desk.roll.grow();
  }

  /** Called when the player has stopped: turns what was played into notes, if its piece is still open. */
  #finish() {
    const { metronome, piece, player } = this;
    const { version, take, score, track } = this.#now;
    this.#now = null;
    metronome.sounds = false;
    take.finish(player.time);
    if (piece.draft?.version === version) piece.draft = null;
    this.#show();
    if (piece.version !== version) return;
    const step = Number($("record-grid").value) * 4 * score.resolution;
    const notes = take.inTicks(score, step);
    announce(notes.length ? `Recorded ${count(notes.length, "note")}` : "Nothing was recorded");
    if (!notes.length) this.desk.arrive({ keepView: true });
    else if (piece.isEmptyPiece) this.#openAsPiece(score, notes);
    else this.#add(notes, track);
  }

  #add(notes, track) {
    for (let place = 0; place < notes.length; place += MOST) {
      const { score } = this.piece;
      this.saving.make(notes.slice(place, place + MOST).map((note) => ({ old: null, made: made(score, { ...note, track }) })));
    }
  }

  #openAsPiece({ tracks: [{ program, drum, name }], metres: [[, ...metre]], tempos: [[, tempo]] }, notes) {
    this.desk.arrive();
    const bytes = midiFile({ tempo, metre, program, drum, name, notes });
    this.open(new File([bytes], "Recording.mid", { type: "audio/midi" }));
  }

  #show() {
    const isOn = this.#now !== null;
    document.body.toggleAttribute("data-recording", isOn);
    $("record").setAttribute("aria-pressed", isOn);
    $("record").setAttribute("aria-label", isOn ? "Stop recording" : "Record");
    this.follow();
  }
}
