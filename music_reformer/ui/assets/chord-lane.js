// The chord lane above the roll: the recognised chords bar by bar, and below them the requested ones. A click on
// a requested bar, or Enter, edits its chords. For the keyboard, the lane is a slider over the bars.

import { drawChords } from "./chord-picture.js";
import { make } from "./lane-box.js";
import { sheetOf, spoken, withTyped } from "./lead-sheet.js";
import { announce } from "./messages.js";

const PAGE = 4;  // bars per press of Page Up or Page Down

export class ChordLane {
  bar = 0;  // the bar at the keyboard's or the pointer's position
  #start = null;  // the other end of the selected bars; null: none are selected

  /** `lanes` knows the places of bars; `onChoose(from, to)` receives bars to be repeated in the new music. */
  constructor({ element, lanes, onChoose }) {
    Object.assign(this, { element, lanes, onChoose });
    this.canvas = element.querySelector("canvas");
    element.addEventListener("keydown", (event) => this.#key(event));
    element.addEventListener("focus", () => { if (element.matches(":focus-visible")) this.#moveTo(this.bar); });
    element.addEventListener("blur", () => this.lanes.roll.redraw());
    this.#listenToPointer();
  }

  /** The selected bars, {from, to}, both included; null: none. Only bars that stay can be selected. */
  get chosen() {
    if (this.#start === null) return null;
    const [from, to] = [Math.min(this.#start, this.bar), Math.min(Math.max(this.#start, this.bar), this.lanes.numKept - 1)];
    return from < to ? { from, to } : null;
  }

  draw() {
    const { element, lanes } = this;
    this.bar = Math.min(this.bar, lanes.numBars - 1);
    drawChords(this);
    element.setAttribute("aria-valuemax", lanes.numBars);
    element.setAttribute("aria-valuenow", this.bar + 1);
    element.setAttribute("aria-valuetext", this.#words());
  }

  #words() {
    const { bar, chosen } = this;
    const { asked, piece } = this.lanes;
    if (chosen) return `bars ${chosen.from + 1} to ${chosen.to + 1} selected`;
    const heard = spoken(piece.score.chords?.[bar] ?? "");
    if (!this.lanes.isNew(bar)) return `bar ${bar + 1}: ${heard || "chord unknown"}`;
    const wish = spoken(asked.chordsByBar()[bar - asked.bars.first]);
    return `new bar ${bar + 1}: ${wish ? `asked ${wish}` : "open"}${heard ? `, ${piece.wantsSameBars ? "played" : "until now"} ${heard}` : ""}`;
  }

  #moveTo(bar, { selects = false } = {}) {
    this.#start = selects ? this.#start ?? this.bar : null;
    this.bar = Math.min(Math.max(bar, 0), this.lanes.numBars - 1);
    this.lanes.roll.reveal(this.lanes.secondOf(this.bar));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { bar } = this;
    const isNew = this.lanes.isNew(bar);
    const bars = { ArrowLeft: bar - 1, ArrowRight: bar + 1, PageUp: bar - PAGE, PageDown: bar + PAGE, Home: 0, End: this.lanes.numBars - 1 };
    if (event.key in bars) this.#moveTo(bars[event.key], { selects: event.shiftKey });
    else if (event.key === "Enter") this.#press();
    else if (isNew && /^[A-G]$/i.test(event.key)) this.#write(event.key.toUpperCase());
    else if (isNew && ["Delete", "Backspace"].includes(event.key)) this.#take("");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** A click on a bar uses it; a drag selects bars. */
  #listenToPointer() {
    const { element, lanes } = this;
    let isDown = false, wasDrag = false;
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      [isDown, wasDrag] = [true, false];
      this.#start = this.bar = lanes.barAt(event);
      lanes.roll.redraw();
    });
    element.addEventListener("pointermove", (event) => {
      if (!isDown || lanes.isNew(this.#start)) return;
      this.bar = lanes.barAt(event);
      lanes.roll.redraw();
    });
    element.addEventListener("pointerup", () => {
      wasDrag = isDown && this.chosen !== null;
      isDown = false;
      if (wasDrag) this.#press();
    });
    element.addEventListener("pointercancel", () => { isDown = false; this.#start = null; });
    // Not earlier: the click of a touch moves the focus to the lane, which would close the box.
    element.addEventListener("click", () => { if (!wasDrag) this.#press(); });
  }

  /** Use the selected bars or, without any, the bar at the keyboard's or the pointer's position. */
  #press() {
    const { bar, chosen } = this;
    this.#start = null;
    if (chosen) this.onChoose(chosen.from, chosen.to);
    else if (this.lanes.isNew(bar)) this.#write();
    else this.lanes.go(bar);
  }

  /** Open the box for editing the chords of the bar and of those after it. */
  #write(begun = null) {
    const { bar, lanes } = this;
    const { asked, box, piece, roll } = lanes;
    const field = make("input", {
      type: "text", spellcheck: false, autocomplete: "off", maxLength: 2000, placeholder: "Am7 | D7 G7 | %",
      ariaLabel: "Chords", value: begun ?? asked.chordsByBar()[bar - asked.bars.first],
    });
    box.open({
      at: roll.x(lanes.secondOf(bar)), label: `Chords from bar ${bar + 1}`, back: () => this.element.focus(),
      rows: [{ fields: [field], name: "Set", use: () => this.#take(field.value) }],
      buttons: [
        ...(asked.ownChords().some(Boolean) ? [[piece.wanted.until === null ? "Keep the progression" : "Keep these chords", () => this.#keep()]] : []),
        ...(asked.chords ? [["Leave all open", () => this.#ask("", "The chords are left to the model")]] : []),
      ],
      hint: "Divide bars with |. % repeats the bar before. Empty leaves the bar to the model.",
    });
    if (begun === null) field.select();
  }

  /** Request the typed chords from the bar on, and move to the bar after them. */
  #take(typed) {
    const { bar } = this;
    const { asked } = this.lanes;
    const { first, count } = asked.bars;
    const { sheet, next } = withTyped(asked.sheet, bar - first, typed, count);
    this.#ask(sheet, typed.trim() ? `Chords from bar ${bar + 1}: ${typed}` : `Bar ${bar + 1} is open`);
    this.#moveTo(typed.trim() ? Math.min(first + next, first + count - 1) : bar);
  }

  /** Request the piece's own chords, as a start for changing single bars. */
  #keep() {
    this.#ask(sheetOf(this.lanes.asked.ownChords()), "The chords of the piece are asked for");
  }

  #ask(chords, news) {
    this.lanes.asked.write({ chords });
    announce(news);
  }
}
