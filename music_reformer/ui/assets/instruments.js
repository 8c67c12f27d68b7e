// Which instruments may play in the new music: those of the piece, and any that the visitor adds. Adding one that plays
// already gives it another track.

import { programsOf } from "./score.js";

const DRUMS = -1;
const PIANO = 0;

export class Instruments {
  #offered = [];  // programs, -1 for drums
  #own = [];  // those of the piece among them

  /** `names` are those of the 128 programs; at most `most` may play. `onShow(score)` is called when a piece is shown. */
  constructor({ element, adder, hint, names, most, onShow }) {
    Object.assign(this, { element, adder, hint, names, most, onShow });
    adder.append(new Option("Add an instrument…", ""), new Option("Drums", DRUMS));
    for (let first = 0; first < 128; first += 8) {
      const family = Object.assign(document.createElement("optgroup"), { label: FAMILIES[first / 8] });
      for (let program = first; program < first + 8; program++) family.append(new Option(names[program], program));
      adder.append(family);
    }
    adder.addEventListener("change", () => {
      const program = Number(adder.value);
      if (adder.value !== "") this[this.#own.includes(program) && this.#chosen.includes(program) ? "addTrack" : "add"](program);
      adder.value = "";
    });
    element.addEventListener("change", ({ target }) => {
      if (target.name === "new-track") target.closest(".chip").remove();
      this.#check();
    });
  }

  nameOf(program) { return program === DRUMS ? "Drums" : this.names[program]; }

  /** Offer the instruments of a piece, all selected. */
  show(score) {
    this.#own = programsOf(score);
    this.#offered = [];
    this.element.replaceChildren();
    for (const program of this.#own.length ? this.#own : [PIANO]) this.add(program);
    if (this.#own.length > this.most) {
      [...this.element.querySelectorAll("input")].slice(this.most).forEach((box) => { box.checked = false; });
    }
    this.#check();
    this.onShow(score);
  }

  /** Offer `program`, too, selected. */
  add(program) {
    if (!this.#offered.includes(program)) {
      this.#offered.push(program);
      this.#addChip(this.nameOf(program), { name: "instrument", value: program });
    }
    this.element.querySelector(`input[name="instrument"][value="${program}"]`).checked = true;
    this.#check();
  }

  /** Add a track of an instrument that the piece has already. Switched off, it is removed. */
  addTrack(program) {
    this.#addChip(`${this.nameOf(program)}, new track`, { name: "new-track", value: program, checked: true });
    this.#check();
  }

  #addChip(name, options) {
    const label = document.createElement("label");
    label.className = "chip";
    const box = Object.assign(document.createElement("input"), { type: "checkbox", ...options });
    label.append(box, Object.assign(document.createElement("span"), { textContent: name }));
    this.element.append(label);
  }

  /** The programs of the added tracks. */
  get newTracks() { return [...this.element.querySelectorAll('input[name="new-track"]')].map((box) => Number(box.value)); }

  /** Select exactly these programs. */
  choose(programs) {
    for (const box of this.element.querySelectorAll('input[name="instrument"]')) box.checked = false;
    for (const program of programs) this.add(program);
  }

  get #chosen() { return [...this.element.querySelectorAll('input[name="instrument"]:checked')].map((box) => Number(box.value)); }

  /** The programs that may play; none: those of the piece. */
  read() {
    const chosen = this.#chosen;
    const asThePiece = chosen.length === this.#own.length && chosen.every((program) => this.#own.includes(program));
    return asThePiece ? [] : chosen;
  }

  #check() {
    const length = this.#chosen.length + this.newTracks.length;
    const problem = length === 0 ? "Choose at least one instrument." : length > this.most ? `Choose at most ${this.most} instruments.` : "";
    const added = this.#own.length ? this.#chosen.filter((program) => !this.#own.includes(program)).map((program) => this.nameOf(program)) : [];
    const advice = added.length ? `${added.join(" and ")} may be silent in some bars of a continuation, and hardly ever in bars that are recomposed.` : "";
    this.hint.textContent = problem || advice;
    this.hint.classList.toggle("problem", Boolean(problem));
    // So that the form cannot be submitted.
    this.adder.setCustomValidity(problem);
  }
}

const FAMILIES = ["Piano", "Bells and mallets", "Organ", "Guitar", "Bass", "Strings", "Ensemble", "Brass", "Reed", "Pipe",
  "Synth lead", "Synth pad", "Synth effects", "World", "Percussive", "Sound effects"];
