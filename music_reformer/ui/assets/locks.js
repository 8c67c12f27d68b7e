// Single notes that stay where their bars are composed anew. They are locked while notes are edited, and hold for all
// versions of the piece in which they stand.

import { keyOf } from "./notes.js";
import { boxOf } from "./roll-picture.js";

export class Locks {
  #keys = new Set();
  #root = null;  // version that the piece began with

  constructor({ piece, roll }) { Object.assign(this, { piece, roll }); }

  get #those() {
    let root = this.piece.version;
    while (root?.parent) root = root.parent;
    if (root !== this.#root) {
      this.#root = root;
      this.#keys.clear();
    }
    return this.#keys;
  }

  #name(note, { tracks } = this.piece.score) { return `${tracks[note.track].index} ${keyOf({ ...note, track: 0 })}`; }
  has(note) { return note.tick !== undefined && this.#those.has(this.#name(note)); }

  /** Lock some notes or, if all of them are, unlock them. Returns whether they are locked now. */
  toggle(notes) {
    const locks = !notes.every((note) => this.has(note));
    for (const note of notes) this.#those[locks ? "add" : "delete"](this.#name(note));
    this.roll.redrawOver();
    return locks;
  }

  /** The locked notes of a version between two bars, as an order names them. */
  between({ score }, cut, until) {
    const keys = this.#those;
    const [from, to] = [score.bars[cut], score.bars[until] ?? Infinity];
    return score.notes
      .filter((note) => note.tick !== undefined && note.start >= from - 1e-3 && note.start < to - 1e-3 && keys.has(this.#name(note, score)))
      .map((note) => [score.tracks[note.track].index, note.tick, note.pitch]);
  }

  /** A frame around each locked note. */
  draw(context, frame, palette) {
    const { piece, roll } = this;
    if (!this.#those.size) return;
    context.save();
    context.beginPath();
    context.rect(roll.keys, 0, frame.width, frame.height);
    context.clip();
    context.strokeStyle = palette.ink;
    context.lineWidth = 1.5;
    context.setLineDash([3, 2]);  // selected ones have a whole frame
    for (const note of piece.score.notes) {
      if (!this.has(note)) continue;
      const { x, y, wide, tall } = boxOf(roll, note, frame);
      context.strokeRect(x - 1.5, y - 1, wide + 3, tall + 2);
    }
    context.restore();
  }
}
