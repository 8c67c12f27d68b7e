// The engraved score: loads what is in view, marks what is new, follows the playhead.

import { Engraved, drawn, mark } from "./engraved.js";

const $ = (id) => document.getElementById(id);
const SPACE = { wide: 7, narrow: 6 };  // pixels of a staff space
const SMALLEST = 3, LARGEST = 18;
const FEWEST = 30, MOST = 400;  // staff spaces in a system, as the server takes them
const KEPT = 8;  // number of engraved pieces that are cached
const ABOVE = 24;  // pixels shown above a system that is scrolled to, for tempo marks
const AHEAD = 800;  // pixels below the view that are loaded
const PATIENCE = 250;  // milliseconds to wait after the last change of size

export class EngravedView {
  #engraved = null;
  #isFormer = false;  // the systems on show are the former piece's, until the first new ones are loaded
  #kept = new Map();
  #space = null;
  #bar = -1;  // bar of the playhead
  #seconds = 0;
  #isFree = false;  // the visitor has scrolled away, so the playhead is not followed
  #ownTop = 0;  // scroll position last set by the page itself
  #failed = false;

  /** `shown()` gives {key, score, marks} of the piece on show (key null: it has no file yet); `onSeek(seconds)` receives
   *  where the visitor clicked, `onPrint(onProgress)` prints. */
  constructor({ shown, onSeek, onPrint }) {
    Object.assign(this, { shown, onSeek, onPrint, element: $("engraved"), page: $("engraved-page"), status: $("engraved-status") });
    $("print").addEventListener("click", () => this.#print());
    this.element.addEventListener("scroll", () => this.#scrolled());
    this.element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.page.addEventListener("click", (event) => this.#seek(event));
    let waiting = null;
    new ResizeObserver(() => { clearTimeout(waiting); waiting = setTimeout(() => this.follow(), PATIENCE); }).observe(this.element);
  }

  /** Whether the score is visible. While notes are edited, the roll takes its place unless both have room. */
  get isShown() {
    const { view, editing } = document.body.dataset;
    return view === "both" || (view === "score" && editing === undefined);
  }

  /** Called when the score becomes visible: shows the bar of the playhead. */
  open() {
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

  /** Called when nothing is open any more. */
  clear() {
    this.#kept.clear();
    this.#clear();
  }

  /** Show what is open now, if the score is visible. */
  follow() {
    if (!this.isShown) return;
    const { key } = this.shown();
    const width = Math.round(Math.min(Math.max(this.page.clientWidth / this.#pixels, FEWEST), MOST));
    if (!key) this.#clear("The score appears when the new music is finished.");
    else if (this.#engraved?.key !== key || this.#engraved.width !== width) this.#show(this.#remembered(key, width));
    else this.mark();
    this.#fill();
  }

  /** Update the marks of new notes and of the cut. */
  mark() {
    if (this.#engraved && !this.#isFormer) mark(this.page, this.shown().marks, this.#engraved.parts);
  }

  /** Move the playhead; with `follow`, keep its bar in view unless the visitor has scrolled away. */
  moveTo(seconds, { follow = false } = {}) {
    this.#seconds = seconds;
    const bar = this.isShown ? this.#barAt(seconds) : this.#bar;
    if (bar === this.#bar) return;
    this.#sound(bar);
    const measure = this.#measure(bar);
    if (measure && this.#isInView(measure.closest(".system"))) this.#isFree = false;
    if (follow && !this.#isFree) this.#reveal(measure);
  }

  /** Show the bar of the playhead, and follow it again. */
  goOn() {
    this.#isFree = false;
    if (this.isShown) this.#reveal(this.#measure(this.#bar));
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
    if (!measure) this.#scroll(this.element.scrollHeight);  // the next systems are loaded at the end
    else if (!this.#isInView(measure.closest(".system"))) this.#scrollTo(measure.closest(".system"));
  }

  /** Whether a system is entirely in view or, if it is too high for that, fills half of the view. */
  #isInView(system) {
    const [view, place] = [this.element.getBoundingClientRect(), system.getBoundingClientRect()];
    const visible = Math.min(place.bottom, view.bottom) - Math.max(place.top, view.top);
    return visible >= (place.height <= view.height ? place.height - 2 : view.height / 2);
  }

  /** Scroll a system to the top of the score, without scrolling the page around it. */
  #scrollTo(system) {
    this.#scroll(this.element.scrollTop + system.getBoundingClientRect().top - this.element.getBoundingClientRect().top - ABOVE);
  }

  #scroll(top) {
    this.element.scrollTop = top;
    this.#ownTop = this.element.scrollTop;
  }

  #scrolled() {
    this.#fill();
    const system = this.#measure(this.#bar)?.closest(".system");
    if (Math.abs(this.element.scrollTop - this.#ownTop) > 1) this.#isFree = !system || !this.#isInView(system);
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoomBy(Math.exp(-event.deltaY / 200));
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
    this.#failed = this.#isFormer = false;
    this.page.replaceChildren();
    this.status.textContent = text;
  }

  #show(engraved) {
    // Another variation or size of the piece on show: stay at the same bar.
    const top = this.#topBar() ?? this.#bar;
    this.#engraved = engraved;
    this.#failed = false;
    this.#isFormer = true;
    this.status.textContent = "";
    if (engraved.systems.length) this.#append(engraved.systems);
    this.#goTo(top);
  }

  /** Load systems until a bar is there, and scroll to it. */
  async #goTo(bar) {
    const engraved = this.#engraved;
    while (engraved && engraved === this.#engraved && !engraved.isWhole && engraved.loaded <= bar && !this.#failed) await this.#more();
    if (engraved && engraved === this.#engraved && bar > 0 && this.#measure(bar)) this.#scrollTo(this.#measure(bar).closest(".system"));
  }

  /** The first bar in view, or undefined. */
  #topBar() {
    const { top } = this.element.getBoundingClientRect();
    const system = [...this.page.children].find((each) => each.getBoundingClientRect().bottom > top + 20);
    return system && Number(system.querySelector("[data-bar]").dataset.bar);
  }

  /** Load the systems in view, and some below. */
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
      // A concurrent call may have added them already.
      if (systems.length && (this.#isFormer || !this.#measure(systems[0].first))) this.#append(systems);
      this.status.textContent = engraved.isWhole ? "" : `Bars 1 to ${engraved.loaded} of ${engraved.bars}`;
    } catch (error) {
      if (engraved !== this.#engraved) return;
      this.#failed = true;
      if (this.#isFormer) this.page.replaceChildren();
      this.status.textContent = error.message;
    } finally {
      this.element.ariaBusy = "false";
    }
  }

  #append(systems) {
    const { marks } = this.shown();
    if (this.#isFormer) this.page.replaceChildren();
    this.#isFormer = false;
    for (const system of systems) {
      const element = drawn(system);
      mark(element, marks, this.#engraved.parts);
      this.page.append(element);
    }
    this.#measure(this.#bar)?.classList.add("is-playing");
    this.#ownTop = this.element.scrollTop;  // a shorter page may have scrolled it
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

/** What is new in the piece on show, or will be recomposed: see `mark`. */
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
