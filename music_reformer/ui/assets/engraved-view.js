// The engraved score in the place of the piano roll: loads what is in view, marks what is new, follows the playhead.

import { Engraved, drawn, mark } from "./engraved.js";
import { announce } from "./messages.js";

const $ = (id) => document.getElementById(id);
const SPACE = { wide: 7, narrow: 6 };  // pixels of a staff space
const SMALLEST = 3, LARGEST = 18;
const FEWEST = 30, MOST = 400;  // staff spaces in a system, as the server takes them
const KEPT = 8;  // engraved pieces that are remembered
const AHEAD = 800;  // pixels below the view that are loaded
const PATIENCE = 250;  // milliseconds without a change of size

export class EngravedView {
  #engraved = null;
  #kept = new Map();
  #space = null;
  #bar = -1;  // where the playhead is
  #seconds = 0;
  #failed = false;

  /** `shown()` gives {key, score, marks} of the piece on show (key null: it has no file yet); `onSeek(seconds)` receives
   *  where the visitor clicked, `onPrint(onProgress)` prints. */
  constructor({ shown, onSeek, onPrint }) {
    Object.assign(this, { shown, onSeek, onPrint, element: $("engraved"), page: $("engraved-page"), status: $("engraved-status"), button: $("score") });
    this.button.addEventListener("click", () => this.toggle());
    $("print").addEventListener("click", () => this.#print());
    this.element.addEventListener("scroll", () => this.#fill());
    this.page.addEventListener("click", (event) => this.#seek(event));
    let waiting = null;
    new ResizeObserver(() => { clearTimeout(waiting); waiting = setTimeout(() => this.follow(), PATIENCE); }).observe(this.element);
  }

  get isShown() { return document.body.dataset.view === "score"; }

  toggle(isShown = !this.isShown) {
    if (isShown === this.isShown) return;
    const hadFocus = (isShown ? $("roll") : this.element).contains(document.activeElement);
    if (isShown) document.body.dataset.view = "score";
    else delete document.body.dataset.view;
    this.button.setAttribute("aria-pressed", isShown);
    announce(isShown ? "Score" : "Piano roll");
    if (hadFocus) (isShown ? this.element : $("roll")).focus();
    if (!isShown) return;
    this.#sound(this.#barAt(this.#seconds));
    this.follow();
    this.#goTo(this.#bar);
  }

  zoomBy(factor) {
    this.#space = Math.min(Math.max(this.#pixels * factor, SMALLEST), LARGEST);
    this.follow();
  }

  fit() {
    this.#space = null;
    this.follow();
  }

  /** Nothing is open any more. */
  clear() {
    this.toggle(false);
    this.#kept.clear();
    this.#clear();
    this.button.disabled = true;
  }

  /** Show what is open now, if the score is on show at all. */
  follow() {
    this.button.disabled = false;
    if (!this.isShown) return;
    const { key } = this.shown();
    const width = Math.round(Math.min(Math.max(this.page.clientWidth / this.#pixels, FEWEST), MOST));
    if (!key) this.#clear("The score appears when the new music is finished.");
    else if (this.#engraved?.key !== key || this.#engraved.width !== width) this.#show(this.#remembered(key, width));
    else this.mark();
    this.#fill();
  }

  /** Bring new notes and the cut in line with what is wanted. */
  mark() {
    if (this.#engraved) mark(this.page, this.shown().marks, this.#engraved.parts);
  }

  /** The playhead is here now; with `follow`, the bar that sounds is kept in view. */
  moveTo(seconds, { follow = false } = {}) {
    this.#seconds = seconds;
    const bar = this.isShown ? this.#barAt(seconds) : this.#bar;
    if (bar === this.#bar) return;
    this.#sound(bar);
    if (follow) this.#reveal(this.#measure(bar));
  }

  get #pixels() { return this.#space ?? (this.element.clientWidth < 600 ? SPACE.narrow : SPACE.wide); }
  /** Mark the bar of the playhead. */
  #sound(bar) {
    this.page.querySelector(".is-playing")?.classList.remove("is-playing");
    this.#bar = bar;
    this.#measure(bar)?.classList.add("is-playing");
  }

  #barAt(seconds) { return Math.max(this.shown().score.bars.findLastIndex((start) => start <= seconds + 0.01), 0); }
  #measure(bar) { return this.page.querySelector(`[data-bar="${bar}"]`); }

  #reveal(measure) {
    if (measure) this.#scrollTo(measure.closest(".system"), { always: false });
    else this.element.scrollTop = this.element.scrollHeight;  // what comes next is loaded there
  }

  /** Scroll a system to the top of the score, unless it is in view (`always`: even then). The page around it stays. */
  #scrollTo(system, { always = true } = {}) {
    const [view, place] = [this.element.getBoundingClientRect(), system.getBoundingClientRect()];
    const isInView = place.top >= view.top && place.bottom <= view.bottom;
    if (always || !isInView) this.element.scrollTop += place.top - view.top;
  }

  #remembered(key, width) {
    const name = `${key} ${width}`;
    const engraved = this.#kept.get(name) ?? new Engraved(key, width);
    this.#kept.delete(name);
    this.#kept.set(name, engraved);
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
    return engraved;
  }

  #clear(text = "") {
    this.#engraved = null;
    this.#failed = false;
    this.page.replaceChildren();
    this.status.textContent = text;
  }

  #show(engraved) {
    // Another variation, or another size, of what was being read: it goes on at the same bar.
    const top = this.#topBar();
    this.#clear();
    this.#engraved = engraved;
    this.#append(engraved.systems);
    this.#goTo(top);
  }

  /** Load on until a bar is there, and scroll to it. */
  async #goTo(bar) {
    const engraved = this.#engraved;
    while (engraved && engraved === this.#engraved && !engraved.isWhole && engraved.loaded <= bar && !this.#failed) await this.#more();
    if (engraved && engraved === this.#engraved && bar > 0 && this.#measure(bar)) this.#scrollTo(this.#measure(bar).closest(".system"));
  }

  /** The first bar in view. */
  #topBar() {
    const { top } = this.element.getBoundingClientRect();
    const system = [...this.page.children].find((each) => each.getBoundingClientRect().bottom > top + 20);
    return Number(system?.querySelector("[data-bar]")?.dataset.bar ?? 0);
  }

  /** Load as much as is in view, and some more. */
  async #fill() {
    const { element } = this;
    const isShort = () => element.scrollHeight - element.scrollTop - element.clientHeight < AHEAD;
    while (this.isShown && this.#engraved && !this.#engraved.isWhole && !this.#failed && isShort()) await this.#more();
  }

  async #more() {
    const engraved = this.#engraved;
    const { bars, loaded } = engraved;
    this.status.textContent = bars ? `Engraving from bar ${loaded + 1} of ${bars}…` : "Engraving…";
    this.element.ariaBusy = "true";
    try {
      const systems = await engraved.more();
      if (engraved !== this.#engraved) return;
      // Who asked at the same time may have put them there.
      if (systems.length && !this.#measure(systems[0].first)) this.#append(systems);
      this.status.textContent = engraved.isWhole ? "" : `Bars 1 to ${engraved.loaded} of ${engraved.bars}`;
    } catch (error) {
      if (engraved !== this.#engraved) return;
      this.#failed = true;
      this.status.textContent = error.message;
    } finally {
      this.element.ariaBusy = "false";
    }
  }

  #append(systems) {
    const { marks } = this.shown();
    for (const system of systems) {
      const element = drawn(system);
      mark(element, marks, this.#engraved.parts);
      this.page.append(element);
    }
    this.#measure(this.#bar)?.classList.add("is-playing");
  }

  async #print() {
    $("print").disabled = true;
    try {
      await this.onPrint((text) => { this.status.textContent = text; });
    } catch (error) {
      this.status.textContent = error.message;
    } finally {
      $("print").disabled = false;
    }
  }

  #seek(event) {
    const measure = event.target.closest("[data-bar]");
    const start = measure && this.shown().score.bars[Number(measure.dataset.bar)];
    if (start !== undefined && start !== null) this.onSeek(start);
  }
}

/** What is new in the piece on show, or will be composed anew: see `mark`. */
export function marksOf(piece) {
  const { variation, version } = piece;
  if (!version || (piece.isEmptyPiece && !variation)) return null;
  const { cut, until, tracks } = piece.wanted;
  if (!piece.wantsSameBars) return { cut, until, isNew: false, leavesOut: !tracks.length && cut < piece.numBars };
  const { run } = version;
  const isAmong = (list, values) => !list?.length || values.some((value) => list.includes(value));
  const plays = (part) => isAmong(run.missing, [part.program]) && isAmong(run.missingTracks, part.tracks);
  return { cut: run.cutBar, until: run.untilBar, isNew: true, plays };
}
