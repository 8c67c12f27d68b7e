// The blind test: two variations are heard as A and B, in an order hidden from the visitor, who says which is
// better. This browser keeps the choices, and writes them as CSV.

import { downloadBlob } from "./downloads.js";
import { announce } from "./messages.js";
import { recalled, remember } from "./switch.js";

const NAME = "choices", MAX_CHOICES = 1000;
const COLUMNS = ["date", "piece", "seed", "settings", "a", "b", "preferred"];

function choices() {
  try {
    const found = JSON.parse(recalled(NAME) || "[]");
    return Array.isArray(found) ? found : [];
  } catch { return []; }
}

const quoted = (value) => `"${String(value ?? "").replaceAll('"', '""')}"`;

/** The choices as CSV. */
export const csvOf = (rows) => [COLUMNS.join(","), ...rows.map((row) => COLUMNS.map((name) => quoted(row[name])).join(","))].join("\r\n") + "\r\n";

/** Two different indices below `number`, in random order. */
function drawTwo(number) {
  const [one, other] = crypto.getRandomValues(new Uint32Array(2));
  const first = one % number;
  return [first, (first + 1 + other % (number - 1)) % number];
}

export class BlindTest {
  #run = null;  // the run whose variations are compared; null: no test is on
  #pair = [0, 0];  // indices of A and B among the variations

  constructor({ element, piece, desk, transport }) {
    Object.assign(this, { element, piece, desk, transport });
    this.said = element.querySelector("p");
    element.addEventListener("click", ({ target }) => {
      const { hear, prefer } = target.closest("button")?.dataset ?? {};
      if (hear) this.hear(Number(hear));
      else if (prefer) this.#prefer(prefer);
      else if (target.closest(".blind-close")) this.close();
    });
  }

  get isOn() { return this.#run !== null; }
  get hasChoices() { return choices().length > 0; }
  get isPossible() {
    const { composition, version } = this.piece;
    return !composition && Boolean(version?.run?.finished) && version.run.variations.length > 1;
  }

  /** Keys that override the page's own during the test, so that none selects a variation by its number. */
  get keys() {
    const none = Object.fromEntries([..."12345678", "K"].map((key) => [key, () => {}]));
    return { ...none, A: () => this.hear(0), B: () => this.hear(1), Escape: () => this.close() };
  }

  open() {
    this.#run = this.piece.version.run;
    document.body.toggleAttribute("data-blind", true);
    this.element.hidden = false;
    this.#draw("");
    this.element.querySelector("[data-hear]").focus();
  }

  close() {
    const hadFocus = this.element.contains(document.activeElement);
    this.#run = null;
    document.body.toggleAttribute("data-blind", false);
    this.element.hidden = true;
    this.desk.phase.refresh();
    if (hadFocus) document.querySelector("#compare summary").focus();
  }

  /** Called when another run is shown, or none: ends the test of the former. */
  follow() {
    if (this.isOn && (this.piece.version?.run !== this.#run || !this.isPossible)) this.close();
  }

  /** Show A (0) or B (1), and play from where the other one was. */
  hear(which) {
    if (this.piece.version.selected !== this.#pair[which]) this.desk.select(this.#pair[which]);
    for (const button of this.element.querySelectorAll("[data-hear]")) button.setAttribute("aria-pressed", Number(button.dataset.hear) === which);
  }

  #draw(said) {
    this.#pair = drawTwo(this.#run.variations.length);
    this.said.textContent = `${said}Which is better?`;
    this.hear(0);
    this.transport.seek(Math.max(this.#run.cut - 0.01, 0));
  }

  #prefer(choice) {
    const { order, seed } = this.#run;
    const [a, b] = this.#pair.map((place) => this.#called(place));
    const { piece: _, ...settings } = order;
    const preferred = { a, b }[choice] ?? "";
    const row = { date: new Date().toISOString(), piece: this.piece.version.name, seed, settings: JSON.stringify(settings), a, b, preferred };
    remember(NAME, JSON.stringify([...choices(), row].slice(-MAX_CHOICES)));
    const said = `A was ${a}, B was ${b}. Here are two more. `;
    announce(said);
    this.#draw(said);
  }

  #called(place) { return this.#run.variations[place].joined ? "joined" : `variation ${place + 1}`; }

  saveChoices() { downloadBlob(new Blob([csvOf(choices())], { type: "text/csv" }), "choices.csv"); }
}
