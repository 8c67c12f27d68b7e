// Copied notes, to be pasted whole bars later or earlier, on the same tracks.

import { barAt, made } from "./notes.js";

export class Clipboard {
  #notes = [];  // with ticks relative to the bar line before the first
  length = 0;  // ticks of the bars that contain them

  get isEmpty() { return !this.#notes.length; }

  /** Copy notes of a score; returns the tick of the bar line after them. */
  take(score, notes) {
    const first = barAt(score, notes[0].tick), last = barAt(score, notes.at(-1).tick);
    this.#notes = notes.map((note) => ({ ...note, tick: note.tick - first.tick, ticks: Math.max(note.ticks, 1) }));
    this.length = last.tick + last.length - first.tick;
    return first.tick + this.length;
  }

  /** The copied notes as notes of a score, pasted at a bar line. */
  put(score, line) {
    return this.#notes.filter(({ track }) => track < score.tracks.length).map((note) => made(score, { ...note, tick: line + note.tick }));
  }
}
