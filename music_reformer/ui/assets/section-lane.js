// The section lane above the roll: a box for each recognised section of the piece, and after the cut a box for each
// part of the requested form. Each is a button; with the keyboard, arrows move between them.

import { NUM_COLOURS } from "./draw.js";
import { againPart, barsIn, freshPart } from "./form-text.js";
import { make, numberField } from "./lane-box.js";
import { announce } from "./messages.js";

const FRESH = 8;  // default number of bars of something new
const MOST = 256;  // largest number of bars that the page composes at once

const barsText = (from, to) => (from === to ? `bar ${from}` : `bars ${from} to ${to}`);

/** A colour for each letter: "A" has the first; after the last, colours start over. */
const colourOf = (letter) => `var(--track-${(letter.charCodeAt(letter.length - 1) - 65) % NUM_COLOURS})`;

export class SectionLane {
  #boxes = [];  // {element, first, count}
  #drawn = "";  // what they show, to redraw only on changes

  constructor({ element, lanes }) {
    Object.assign(this, { element, lanes });
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  draw() {
    const boxes = [...this.#heard(), ...this.#asked()];
    const drawn = JSON.stringify(boxes.map(({ use: _, ...looks }) => looks));
    if (drawn !== this.#drawn) this.#make(boxes);
    this.#drawn = drawn;
    const { roll, secondOf } = this.lanes;
    for (const { element, first, count } of this.#boxes) {
      const [from, to] = [roll.x(secondOf(first)), roll.x(secondOf(first + count))];
      const left = Math.max(from, roll.keys);
      element.toggleAttribute("data-out", to <= roll.keys + 1 || from >= roll.keys + roll.span);
      element.style.transform = `translateX(${left}px)`;
      element.style.width = `${Math.max(to - left - 1, 2)}px`;
    }
  }

  /** The sections of what is on show, up to its new bars; if these are not composed yet, the sections of the piece. */
  #heard() {
    const { asked, numKept, piece } = this.lanes;
    const end = asked.bars && piece.wanted.until === null ? numKept : Infinity;
    const sections = (piece.score.sections ?? []).filter(({ first }) => first < end);
    return sections.map(({ first, count: whole, letter }) => {
      const count = Math.min(whole, end - first);
      return { first, count, letter, text: letter, kind: "heard", name: `Section ${letter}, ${barsText(first + 1, first + count)}` };
    });
  }

  #asked() {
    const { asked, piece } = this.lanes;
    if (!asked.bars) return [];
    const { first, count } = asked.bars;
    const end = first + count;
    let at = first;
    const boxes = [];
    asked.parts.forEach((part, place) => {
      if (at < end) boxes.push({ ...this.#look(part, at), first: at, count: Math.min(barsIn(part), end - at), place });
      at += barsIn(part);
    });
    if (at < end && piece.version.key) boxes.push({ first: at, count: end - at, kind: "add", text: "+", name: "Ask for a section" });
    return boxes;
  }

  /** The look and the label of the box of a part that begins at a bar. */
  #look(part, at) {
    const where = `new ${barsText(at + 1, at + barsIn(part))}`;
    if (part.fresh) return { kind: "fresh", text: "new", name: `Asked: something new, ${where}` };
    const letter = this.#letterOf(part);
    const range = `${letter ? `section ${letter}, ` : ""}${barsText(part.from, part.to)}`;
    return {
      kind: "again", letter, text: `${letter ?? `${part.from}\u2013${part.to}`}${part.varied ? "\u2032" : ""}`,
      name: `Asked: ${range} ${part.varied ? "varied" : "again"}, ${where}`,
    };
  }

  /** The letter of the section that a part equals, if any. */
  #letterOf({ from, to }) {
    const { sections = [] } = this.lanes.piece.score;
    return sections.find(({ first, count }) => first + 1 === from && first + count === to)?.letter;
  }

  #make(boxes) {
    const focused = this.#boxes.findIndex(({ element }) => element === document.activeElement);
    this.#boxes = boxes.map((box, place) => {
      const element = make("button", { type: "button", textContent: box.text, ariaLabel: box.name, title: box.name, tabIndex: place ? -1 : 0 });
      element.dataset.kind = box.kind;
      element.setAttribute("aria-haspopup", "dialog");
      if (box.letter) element.style.setProperty("--colour", colourOf(box.letter));
      element.addEventListener("click", () => this.#open(box));
      element.addEventListener("focus", () => this.#focus(place));
      return { ...box, element };
    });
    this.element.replaceChildren(...this.#boxes.map(({ element }) => element));
    if (focused >= 0) this.focusAt(Math.min(focused, boxes.length - 1));
  }

  focusAt(place) { this.#boxes[place]?.element.focus(); }

  #focus(place) {
    this.#boxes.forEach(({ element }, other) => { element.tabIndex = other === place ? 0 : -1; });
    if (this.#boxes[place].element.matches(":focus-visible")) this.lanes.roll.reveal(this.lanes.secondOf(this.#boxes[place].first));
  }

  #key(event) {
    const place = this.#boxes.findIndex(({ element }) => element === event.target);
    const places = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: this.#boxes.length - 1 };
    const { place: part } = this.#boxes[place];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in places) this.focusAt(Math.min(Math.max(places[event.key], 0), this.#boxes.length - 1));
    else if (["Delete", "Backspace"].includes(event.key) && part !== undefined) this.#put(part, null, "Removed");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #open(box) {
    if (!this.lanes.asked.bars) this.lanes.go(box.first);  // no form can be requested now
    else if (box.kind === "heard") this.ask({ from: box.first + 1, to: box.first + box.count, title: box.name, at: box.first });
    else {
      this.ask({ ...this.lanes.asked.parts[box.place], title: box.name, at: box.first, place: box.place });
    }
  }

  /** Open the box for requesting bars of the piece, or new ones: in place of part number `place` of the form, or after its last part. */
  ask({ from = 1, to, varied = false, fresh = FRESH, title, at, place = null }) {
    const { asked, box, numKept, piece, roll, secondOf } = this.lanes;
    const focused = document.activeElement;
    const most = piece.wanted.until === null ? numKept : piece.numBars;
    const [first, last] = [["From bar", from], ["To bar", to ?? most]].map(([label, bar]) => numberField(label, Math.min(bar, most), most));
    const length = numberField("Bars of something new", fresh, MOST);
    const check = make("input", { type: "checkbox", checked: varied });
    const again = () => {
      const [low, high] = [Number(first.value), Number(last.value)].sort((a, b) => a - b);
      this.#put(place, againPart(low, high, check.checked), `Asked: ${barsText(low, high)} ${check.checked ? "varied" : "again"}`);
    };
    const anew = () => this.#put(place, freshPart(Number(length.value)), `Asked: ${length.value} bars of something new`);
    const rows = [
      { fields: ["Bars ", first, " to ", last, make("label", { className: "check" }, check, "varied")], name: "Again here", use: again },
      { fields: [length, " bars of"], name: "Something new", use: anew },
    ];
    box.open({
      at: roll.x(secondOf(at)), label: title, rows: most ? rows : rows.slice(1),
      buttons: place === null ? [] : [["Remove", () => this.#put(place, null, "Removed")]],
      back: () => (focused?.isConnected ? focused : this.element.querySelector("button"))?.focus(),
    });
  }

  /** Replace a part of the form, or append one; null removes it. */
  #put(place, part, news) {
    const parts = [...this.lanes.asked.parts];
    parts.splice(place ?? parts.length, place === null ? 0 : 1, ...(part ? [part] : []));
    this.lanes.asked.writeForm(parts);
    announce(news);
  }
}
