// Joining bars: a grid of new bars and variations, in which each bar is taken from one variation. The result is one
// more variation, to be heard, compared and kept like the others.

import { joinBars } from "./api.js";
import { count } from "./draw.js";
import { announce, complain } from "./messages.js";
import { spanOf } from "./open-piece.js";
import { markedNew, scoreOf, wholeBars } from "./score.js";

/** Whether a variation was composed, not joined from others. */
export const isComposed = (variation) => !variation.joined;

/** The variation joined from `bars`, as `opened` by the server. */
function joinedVariation(run, bars, { key, name, roll, lossy, rank, reasons, longest_in_piece: inPiece, longest_in_training: inTraining }) {
  const score = markedNew(scoreOf(roll), run);
  return {
    key, name, score, fresh: score.notes.filter(({ isNew }) => isNew), lossy, candidate: null, joined: bars,
    rank, reasons, longest: { inPiece, inTraining }, done: 1, frontier: Infinity,
  };
}

/** Number of new bars of the longest variation of a run. */
export function newBars({ variations, cutBar, untilBar }) {
  const ends = variations.filter(isComposed).map(({ score }) => wholeBars(score));
  return (untilBar ?? Math.max(...ends)) - cutBar;
}

export class Joining {
  #run = null;  // the run whose bars are in the grid
  #painting = null;  // the variation that a drag assigns to the bars that it crosses

  constructor({ element, piece, desk }) {
    Object.assign(this, { element, piece, desk });
    this.grid = element.querySelector(".join-bars");
    element.querySelector(".join-go").addEventListener("click", () => this.#join());
    element.querySelector(".join-close").addEventListener("click", () => this.close());
    element.addEventListener("keydown", (event) => this.#key(event));
    this.grid.addEventListener("pointerdown", (event) => this.#press(event));
    this.grid.addEventListener("pointermove", (event) => this.#drag(event));
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => { this.#painting = null; });
  }

  /** Whether the run on show has variations to join. */
  get isPossible() {
    const { composition, version } = this.piece;
    return !composition && Boolean(version?.run?.finished) && version.run.variations.filter(isComposed).length > 1 && newBars(version.run) > 0;
  }

  open() {
    const { run, selected } = this.piece.version;
    this.#run = run;
    const sources = run.variations.filter(isComposed);
    const former = run.variations.find((variation) => variation.joined)?.joined;
    const chosen = sources.indexOf(run.variations[selected]);
    const bars = Array.from({ length: newBars(run) }, (_, bar) => former?.[bar] ?? Math.max(chosen, 0));
    this.grid.replaceChildren(rowNames(sources.length), ...bars.map((variation, bar) => column(bar, run.cutBar + bar + 1, sources.length, variation)));
    this.element.hidden = false;
    this.#input(0, bars[0]).focus();
  }

  close() {
    const hadFocus = this.element.contains(document.activeElement);
    this.element.hidden = true;
    this.#run = null;
    if (hadFocus) document.querySelector("#compare summary").focus();
  }

  /** Called when another run is shown, or none: closes the former's grid. */
  follow() {
    if (!this.element.hidden && (this.piece.version?.run !== this.#run || !this.isPossible)) this.close();
  }

  get #bars() { return [...this.grid.querySelectorAll("input:checked")].map(({ value }) => Number(value)); }

  #input(bar, variation) { return this.grid.querySelector(`input[name="join-${bar}"][value="${variation}"]`); }

  /** Left and right move between bars; a digit chooses a variation and moves on, so that bars can be typed. */
  #key(event) {
    if (event.key === "Escape") { this.close(); event.stopPropagation(); return; }
    const bar = Number(event.target.name?.match(/^join-(\d+)$/)?.[1] ?? NaN);
    if (Number.isNaN(bar) || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const typed = this.#input(bar, Number(event.key) - 1);
    if (!step && !(typed && /^[1-8]$/.test(event.key))) return;
    event.preventDefault();
    if (typed && !step) typed.checked = true;
    const next = this.grid.querySelector(`input[name="join-${bar + (step ?? 1)}"]:checked`);
    (next ?? typed ?? event.target).focus();
  }

  #press(event) {
    const input = event.target.closest("label")?.querySelector("input");
    if (!input) return;
    event.preventDefault();  // suppresses the label's click: the drag does it all
    input.focus();
    this.#painting = input.value;
    this.grid.setPointerCapture(event.pointerId);
    input.checked = true;
  }

  #drag({ clientX }) {
    if (this.#painting === null) return;
    for (const each of this.grid.querySelectorAll("fieldset")) {
      const { left, right } = each.getBoundingClientRect();
      if (clientX >= left && clientX < right) each.querySelector(`input[value="${this.#painting}"]`).checked = true;
    }
  }

  async #join() {
    const run = this.#run, bars = this.#bars, go = this.element.querySelector(".join-go");
    const { piece } = this;
    const { variations } = run;
    if (go.ariaBusy === "true") return;
    go.ariaBusy = "true";  // not disabled, because it would lose the focus
    try {
      const sources = variations.filter(isComposed);
      const answer = await joinBars(sources.map(({ key }) => key), bars, spanOf(run));
      if (piece.version?.run !== run || piece.composition) return;
      sources.forEach((variation, place) => { variation.rank = answer.ranks[place]; });
      run.variations = [...sources, joinedVariation(run, bars, answer)];
      this.#show(run);
    } catch (error) {
      complain(error);
    } finally {
      go.ariaBusy = "false";
    }
  }

  #show(run) {
    const { desk, piece } = this;
    piece.version.selected = run.variations.length - 1;
    desk.showCards(run);
    desk.cards.select(piece.version.selected);
    desk.show({ keepView: true });
    desk.phase.refresh();
    announce(`${count(newBars(run), "bar")} joined, and on show as one more variation`);
  }
}

function rowNames(number) {
  const names = document.createElement("div");
  names.ariaHidden = "true";
  names.append(document.createElement("b"), ...Array.from({ length: number }, (_, index) => Object.assign(document.createElement("span"), { textContent: index + 1 })));
  return names;
}

/** A column of the grid: the bar with this number in the piece. */
function column(bar, number, variations, chosen) {
  const box = document.createElement("fieldset");
  box.append(Object.assign(document.createElement("legend"), { innerHTML: `<span class="off-screen">Bar </span>${number}` }));
  for (let index = 0; index < variations; index++) {
    const input = Object.assign(document.createElement("input"), { type: "radio", name: `join-${bar}`, value: index, checked: index === chosen });
    input.setAttribute("aria-label", `Variation ${index + 1}`);
    const label = document.createElement("label");
    label.append(input, document.createElement("i"));
    box.append(label);
  }
  return box;
}
