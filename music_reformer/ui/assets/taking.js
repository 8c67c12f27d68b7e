// A take: what was played, from keys going down and up to notes in ticks.

import { snap, tickAt } from "./notes.js";

const GRACE = 0.15;  // seconds by which a note may precede the first beat and still belong to it

export class Take {
  notes = [];  // {pitch, velocity, start, end} in seconds of the piece; end is null while a key is down
  #held = new Map();  // pitch -> note whose key is down
  #pedalled = [];  // notes whose keys are up but which the pedal holds
  #isPedalDown = false;

  /** `from`: start of the take, in seconds of the piece. */
  constructor(from) { this.from = from; }

  /** A key was pressed. Returns the note, or null during the count-in. */
  press({ pitch, velocity }, seconds) {
    this.release({ pitch }, seconds);
    this.#pedalled = this.#pedalled.filter((note) => note.pitch !== pitch || this.#end(note, seconds));
    if (seconds < this.from - GRACE) return null;
    const note = { pitch, velocity, start: Math.max(seconds, this.from), end: null };
    this.notes.push(note);
    this.#held.set(pitch, note);
    return note;
  }

  release({ pitch }, seconds) {
    const note = this.#held.get(pitch);
    if (!note) return;
    this.#held.delete(pitch);
    if (this.#isPedalDown) this.#pedalled.push(note);
    else this.#end(note, seconds);
  }

  pedal(isDown, seconds) {
    this.#isPedalDown = isDown;
    if (isDown) return;
    for (const note of this.#pedalled) this.#end(note, seconds);
    this.#pedalled = [];
  }

  /** End all sounding notes. */
  finish(seconds) {
    for (const note of this.notes) if (note.end === null) this.#end(note, seconds);
  }

  #end(note, seconds) { note.end = Math.max(seconds, note.start + 0.01); }

  /** The notes in ticks of a score, {pitch, velocity, tick, ticks}; with a `step`, beginning on lines of that grid. */
  inTicks(score, step = 0) {
    const rows = this.notes.map(({ pitch, velocity, start, end }) => {
      const played = tickAt(score, start);
      const tick = step ? snap(score, played, step) : played;
      return { pitch, velocity, tick, ticks: Math.max(tickAt(score, end) - played, 1) };
    });
    // Two strikes of a key on the same grid line become one note.
    const first = new Map(rows.toReversed().map((row) => [`${row.tick} ${row.pitch}`, row]));
    return rows.filter((row) => first.get(`${row.tick} ${row.pitch}`) === row).sort((a, b) => a.tick - b.tick);
  }
}
