// Single notes that stay when their bars are recomposed. They are locked while notes are edited, and stay locked in all
// versions of the piece that contain them.

import { keyOf } from "./notes.js";
import { boxOf, onNotes } from "./roll-picture.js";

export class Locks {
  #keys = new Set();
  #root = null;  // the first version of the piece

  /** `onChange()` is called after notes are locked or unlocked. */
  constructor({ piece, roll, onChange }) { Object.assign(this, { piece, roll, onChange }); }

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
  /** A note as an order names it. */
  #told(note, { tracks }) { return [tracks[note.track].index, note.tick, note.pitch]; }
  has(note) { return note.tick !== undefined && this.#those.has(this.#name(note)); }

  /** Lock some notes or, if all of them are locked, unlock them. Returns whether they are locked now. */
  toggle(notes) {
    const locks = !notes.every((note) => this.has(note));
    for (const note of notes) this.#those[locks ? "add" : "delete"](this.#name(note));
    this.roll.redrawOver();
    this.onChange();
    return locks;
  }

  /** All locks as plain data, for `restore`. */
  get whole() { return [...this.#those]; }
  restore(whole) {
    const keys = this.#those;
    keys.clear();
    for (const key of whole) keys.add(key);
    this.roll.redrawOver();
  }

  /** Lock the notes that a link names (as in an order), as far as the open piece has them. */
  lock(list) {
    const { score } = this.piece;
    const wanted = new Set(list.map(String));
    for (const note of score.notes) if (wanted.has(String(this.#told(note, score)))) this.#those.add(this.#name(note));
    this.roll.redrawOver();
  }

  /** The locked notes of a version, as an order names them. */
  of({ score }) { return this.#among(score, score.notes); }

  /** Those of them that begin between two bars. */
  between({ score }, cut, until) {
    const [from, to] = [score.bars[cut], score.bars[until] ?? Infinity];
    return this.#among(score, score.notes.filter((note) => note.start >= from - 1e-3 && note.start < to - 1e-3));
  }

  #among(score, notes) {
    const keys = this.#those;
    return notes.filter((note) => note.tick !== undefined && keys.has(this.#name(note, score))).map((note) => this.#told(note, score));
  }

  /** A frame around each locked note. */
  draw(context, frame, palette) {
    const { piece, roll } = this;
    if (!this.#those.size) return;
    onNotes(roll, context, frame, () => {
      context.strokeStyle = palette.ink;
      context.lineWidth = 1.5;
      context.setLineDash([3, 2]);  // dashed, because the frames of selected notes are solid
      for (const note of piece.score.notes) {
        if (!this.has(note)) continue;
        const { x, y, wide, tall } = boxOf(roll, note, frame);
        context.strokeRect(x - 1.5, y - 1, wide + 3, tall + 2);
      }
    });
  }
}
