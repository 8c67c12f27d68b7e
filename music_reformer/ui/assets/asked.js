// What is asked of the bars to come: their chords and their form. The two fields of "Steer" hold it; the lanes above the
// roll show it bar by bar, and change it there.

import { barsIn, formOf, partsOf } from "./form-text.js";
import { barsOf, sheetOf } from "./lead-sheet.js";

export const AS_BEFORE = "as before";  // what stands for the chords of the piece itself
const FIELDS = ["chords", "form"];
const AT_120 = 2;  // seconds of a bar of 4/4

export class Asked {
  #told = "";

  /** `onChange({isNew})` is called when a setting has changed; `isNew`: what is asked for is other than it was.
   *  `marked()`: the bars that are marked to be composed anew, which may reach to the end; null: none are. */
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

  /** Write `words` {chords, form} into their fields; one that is not given stays. */
  write(words) {
    for (const name of FIELDS) if (typeof words[name] === "string") this.#field(name).value = words[name];
    this.#field("chords").dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** The bars to come {first, count}, counted in what is on show; null where none are. */
  get bars() {
    const { piece } = this;
    if (!this.canAsk || !piece.version || piece.isEditing) return null;
    const { cut, until } = this.marked() ?? piece.wanted;
    return { first: cut, count: until === null ? this.#length(cut) : until - cut };
  }

  /** Bars of an open end, as the length says. */
  #length(cut) {
    const { amount, unit } = this.controls.elements;
    const number = Math.max(Number(amount.value) || 1, 1);
    return Math.ceil(unit.value === "bars" ? number : number / barLength(this.piece.score, cut));
  }

  /** The parts of the form. */
  get parts() { return partsOf(this.form, this.piece.score.sections ?? []); }

  /** Ask for a form. A length in bars grows with it. */
  writeForm(parts) {
    const { amount, unit } = this.controls.elements;
    const length = parts.reduce((sum, part) => sum + barsIn(part), 0);
    if (unit.value === "bars") amount.value = Math.min(Math.max(Number(amount.value), length), Number(amount.max));
    this.write({ form: formOf(parts) });
  }

  /** The chords as a sheet, also where they stand for those of the piece. */
  get sheet() { return this.#areOwn ? sheetOf(this.chordsByBar()) : this.chords; }
  get #areOwn() { return this.chords.toLowerCase() === AS_BEFORE; }

  /** The chords of each bar to come, "" where they are left to the model. */
  chordsByBar() {
    const { count } = this.bars;
    if (!this.#areOwn) return barsOf(this.chords, count);
    // The server cannot tell how many bars a length in seconds is: it begins with the piece.
    return this.ownChords(this.controls.elements.unit.value === "bars" ? count : Infinity);
  }

  /** The piece's own chords: those of the bars to compose where the piece goes on after them, else those of the last
   *  `span` bars before them, over and over. */
  ownChords(span = this.bars.count) {
    const { piece } = this;
    const { first, count } = this.bars;
    const { chords = [] } = piece.wantsSameBars ? piece.version.score : piece.score;
    const own = piece.wanted.until === null ? chords.slice(Math.max(first - span, 0), first) : chords.slice(first, first + count);
    return Array.from({ length: count }, (_, bar) => own[bar % Math.max(own.length, 1)] ?? "");
  }
}

/** Seconds of the bar before `cut`, or of the first one. */
export function barLength({ bars }, cut) {
  const place = Math.min(Math.max(cut - 1, 0), bars.length - 2);
  return place < 0 ? AT_120 : bars[place + 1] - bars[place];
}
