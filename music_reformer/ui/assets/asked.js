// The chords and the form requested for the new bars. The two fields of "Steer" hold them; the lanes above the roll show
// them bar by bar, and can change them there.

import { barsIn, formOf, partsOf } from "./form-text.js";
import { barsOf, sheetOf } from "./lead-sheet.js";

export const AS_BEFORE = "as before";  // stands for the piece's own chords
const FIELDS = ["chords", "form"];
const AT_120 = 2;  // seconds of a bar of 4/4

export class Asked {
  #told = "";

  /** `onChange({isNew})` is called when a setting has changed; `isNew`: the requested chords or form differ from before.
   *  `marked()`: the bars marked for recomposing, which may reach to the end; null: none. */
  constructor({ controls, piece, canAsk, marked, onChange }) {
    Object.assign(this, { controls, piece, canAsk, marked });
    const tell = () => {
      const words = JSON.stringify(this.whole);
      onChange({ isNew: words !== this.#told });
      this.#told = words;
    };
    for (const name of ["input", "change"]) controls.addEventListener(name, tell);
  }

  #field(name) { return this.controls.querySelector(`#${name}`); }
  get chords() { return this.#field("chords").value.trim(); }
  get form() { return this.#field("form").value.trim(); }
  get whole() { return { chords: this.chords, form: this.form }; }

  /** Write `words` {chords, form} into their fields; a missing one leaves its field unchanged. */
  write(words) {
    for (const name of FIELDS) if (typeof words[name] === "string") this.#field(name).value = words[name];
    this.#field("chords").dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** The new bars {first, count} within the piece on show; null if there are none. */
  get bars() {
    const { piece } = this;
    if (!this.canAsk || !piece.version || piece.isEditing) return null;
    const { cut, until } = this.marked() ?? piece.wanted;
    return { first: cut, count: until === null ? this.#length(cut) : until - cut };
  }

  /** The number of bars to compose at the end, by the length setting. */
  #length(cut) {
    const { amount, unit } = this.controls.elements;
    const number = Math.max(Number(amount.value) || 1, 1);
    return Math.ceil(unit.value === "bars" ? number : number / barLength(this.piece.score, cut));
  }

  /** The parts of the form (see form-text.js). */
  get parts() { return partsOf(this.form, this.piece.score.sections ?? []); }

  /** Request a form. A length in bars grows to hold it. */
  writeForm(parts) {
    const { amount, unit } = this.controls.elements;
    const length = parts.reduce((sum, part) => sum + barsIn(part), 0);
    if (unit.value === "bars") amount.value = Math.min(Math.max(Number(amount.value), length), Number(amount.max));
    this.write({ form: formOf(parts) });
  }

  /** The chords as a lead sheet; the piece's own chords are written out. */
  get sheet() { return this.#areOwn ? sheetOf(this.chordsByBar()) : this.chords; }
  get #areOwn() { return this.chords.toLowerCase() === AS_BEFORE; }

  /** The chords of each new bar, "" where the model is free. */
  chordsByBar() {
    const { count } = this.bars;
    if (!this.#areOwn) return barsOf(this.chords, count);
    // With a length in seconds, the server does not know the number of bars, and takes the chords from the piece's beginning.
    return this.ownChords(this.controls.elements.unit.value === "bars" ? count : Infinity);
  }

  /** The piece's own chords: those of the bars to recompose or, at the end of the piece, those of the last
   *  `span` bars before the new ones, repeated. */
  ownChords(span = this.bars.count) {
    const { piece } = this;
    const { first, count } = this.bars;
    const { chords = [] } = piece.wantsSameBars ? piece.version.score : piece.score;
    const own = piece.wanted.until === null ? chords.slice(Math.max(first - span, 0), first) : chords.slice(first, first + count);
    return Array.from({ length: count }, (_, bar) => own[bar % Math.max(own.length, 1)] ?? "");
  }
}

/** Length in seconds of the bar before `cut`, or of the first bar. */
export function barLength({ bars }, cut) {
  const place = Math.min(Math.max(cut - 1, 0), bars.length - 2);
  return place < 0 ? AT_120 : bars[place + 1] - bars[place];
}
