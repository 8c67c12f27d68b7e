// The piano roll: what is in view, and how the view moves. It scrolls and zooms in time; in pitch it always shows every
// note. Notes are drawn on one canvas, moving things (playhead, pointer) on another above it; see roll-picture.js.

import { pitchRange } from "./draw.js";
import { drawNotes, drawOver, drawOverview, drawOverviewOver } from "./roll-picture.js";
import { pieceSpoken } from "./spoken.js";

const MAX_PIXELS_PER_SECOND = 400;
const PAUSE = 300;  // milliseconds without changes before the piece is announced to screen readers

export class Roll {
  silent = new Set();
  isFree = false;  // the visitor has scrolled away, so the playhead is not followed
  #telling = null;
  lanes = null;  // the lanes above the roll, which scroll with it and may need room after the piece
  // These take pointer events before the roll does, and draw over the notes.
  hand = null;  // edits notes
  marks = null;  // marks bars
  locks = null;  // frames locked notes

  /** `onSeek(seconds)` receives the position of a click, `onCut(bars)` the number of bars to keep, `onUntil(bars)` the bar
   *  from which the rest is kept as well. */
  constructor({ element, overview, handle, untilHandle, onSeek, onCut, onUntil }) {
    Object.assign(this, { element, handle, untilHandle, onSeek });
    [this.canvas, this.over] = element.querySelectorAll("canvas");
    [this.overview, this.overviewOver] = overview.querySelectorAll("canvas");
    this.cutBar = 0;
    this.untilBar = null;
    this.show({ notes: [], bars: [0], beats: [], seconds: 8, cut: null, until: null });
    new ResizeObserver(() => { if (this.fitted) this.fit(); else this.clampView(); this.redrawAll(); }).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redrawAll());
    this.listen();
    this.listenToOverview(overview);
    this.listenToHandle(handle, { bar: () => this.cutBar, onMove: onCut });
    this.listenToHandle(untilHandle, { bar: () => this.untilBar, onMove: onUntil });
  }

  /** Show a score. With `keepView`, without scrolling or zooming. */
  show(score, { keepView = false } = {}) {
    this.score = score;
    this.seconds = Math.max(score.seconds, score.bars.at(-1) ?? 0, 1);
    this.playhead = keepView ? this.playhead : 0;
    this.measure();
    if (keepView) this.clampView(); else this.fit();
    this.redraw();
  }

  /** Called when the score has grown. */
  grow() {
    this.seconds = Math.max(this.seconds, this.score.seconds);
    this.measure();
    this.redraw();
  }

  measure() {
    const { notes } = this.score;
    this.longest = notes.reduce((longest, note) => Math.max(longest, note.end - note.start), 0);
    this.range = pitchRange(notes);
    this.overviewStale = true;
    this.#tell();
    this.drums = [...new Set(notes.filter((note) => note.drum).map((note) => note.pitch))].sort((a, b) => b - a);
  }

  /** Place the cut after `bars` bars (null: no handle), with a `label`; `veil`: the bars after it are left out,
   *  up to bar `until` (null: no second handle). */
  setCut(bars, { label = "", veil = false, movable = true, until = null, untilLabel = "" } = {}) {
    this.cutBar = bars;
    this.untilBar = until;
    this.veil = veil;
    this.#setHandle(this.handle, bars, label, movable);
    this.#setHandle(this.untilHandle, until, untilLabel, movable);
    this.redraw();
  }

  #setHandle(handle, bars, label, movable) {
    handle.hidden = bars === null;
    if (bars === null) return;
    handle.querySelector("span").textContent = label;
    handle.toggleAttribute("data-fixed", !movable);
    handle.setAttribute("aria-valuemax", this.numBars);
    handle.setAttribute("aria-valuenow", bars);
    handle.setAttribute("aria-valuetext", bars === 0 ? "at the beginning" : `after bar ${bars}`);
  }

  get numBars() { return Math.max(this.score.bars.length - 1, 0); }
  get cutSeconds() { return this.score.bars[this.cutBar ?? 0] ?? this.score.cut ?? 0; }
  get untilSeconds() { return this.untilBar === null ? this.seconds : this.score.bars[this.untilBar] ?? this.seconds; }
  get keys() { return this.element.clientWidth < 600 ? 34 : 46; }
  get span() { return Math.max(this.element.clientWidth - this.keys, 10); }
  get visible() { return this.span / this.zoom; }
  /** The extent when zoomed out: the piece and a little room after it. */
  get whole() { return Math.max(this.seconds * 1.03, this.lanes?.end ?? 0); }
  get leastZoom() { return this.span / this.whole; }

  fit() { this.viewFrom(0, this.whole); this.fitted = true; }
  viewFrom(from, to) { this.fitted = false; this.left = from; this.zoom = this.span / Math.max(to - from, 0.1); this.clampView(); this.redraw(); }
  clampView() {
    this.#tell();
    this.zoom = Math.min(Math.max(this.zoom, this.leastZoom), Math.max(MAX_PIXELS_PER_SECOND, this.leastZoom));
    this.left = Math.max(0, Math.min(this.left, this.whole - this.visible));
  }
  zoomBy(factor, at = this.left + this.visible / 2) {
    const share = (at - this.left) / this.visible;
    this.fitted = false;
    this.zoom *= factor;
    this.clampView();
    this.left = at - share * this.visible;
    this.clampView();
    this.redraw();
  }
  scrollBy(seconds) { this.#scrollTo(this.left + seconds); }
  #scrollTo(left) { this.left = left; this.isFree = true; this.clampView(); this.redraw(); }

  /** Scroll to bring a time into view, such as that of a handle moved by the keyboard. */
  reveal(seconds) {
    if (seconds < this.left) this.left = seconds - this.visible * 0.05;
    else if (seconds > this.left + this.visible) this.left = seconds - this.visible * 0.95;
    this.clampView();
    this.redraw();
  }

  /** Describe the piece and what is in view to screen readers, once nothing has changed for a moment. */
  #tell() {
    clearTimeout(this.#telling);
    this.#telling = setTimeout(() => this.overview.parentElement.setAttribute("aria-label", pieceSpoken(this)), PAUSE);
  }

  /** Scroll back to the playhead, and follow it again. */
  follow() {
    this.isFree = false;
    this.reveal(this.playhead);
  }

  /** Move the playhead; with `follow`, turn the page when it leaves the view, unless the visitor has scrolled away from it. */
  moveTo(seconds, { follow = false } = {}) {
    this.playhead = seconds;
    const hidden = seconds < this.left || seconds > this.left + this.visible * 0.97;
    if (!hidden) this.isFree = false;
    if (follow && hidden && !this.dragging && !this.isFree) { this.left = seconds - this.visible * 0.05; this.clampView(); this.redraw(); }
    else this.redrawOver();
  }

  /** Redraw everything, after a change of size, colours or silent tracks. */
  redrawAll() { this.overviewStale = true; this.redraw(); }
  redraw() { this.stale = true; this.redrawOver(); }
  redrawOver() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      if (this.stale) {
        drawNotes(this);
        this.placeHandle(this.handle, this.cutSeconds);
        this.placeHandle(this.untilHandle, this.untilSeconds);
        this.lanes?.draw();
      }
      if (this.overviewStale) drawOverview(this);
      this.stale = this.overviewStale = false;
      drawOver(this);
      drawOverviewOver(this);
    });
  }

  placeHandle(handle, seconds) {
    const at = this.x(seconds);
    const width = this.element.clientWidth;
    handle.toggleAttribute("data-out", at < this.keys - 1 || at > width + 1);
    handle.style.transform = `translateX(${Math.round(Math.min(Math.max(at, this.keys), width))}px)`;
    handle.toggleAttribute("data-leftward", at > width - 150);
  }

  x(seconds) { return this.keys + (seconds - this.left) * this.zoom; }
  secondsAt(x) { return Math.min(Math.max(this.left + (x - this.keys) / this.zoom, 0), this.seconds); }

  /** Bar lines in seconds, extrapolated at the last bar's length while the piece is being composed. */
  barLines() {
    const bars = [...this.score.bars];
    const length = bars.length > 1 ? bars.at(-1) - bars.at(-2) : 2;
    if (!bars.length) bars.push(0);
    while (bars.at(-1) + length < this.left + this.visible && bars.length < 20000) bars.push(bars.at(-1) + length);
    return bars;
  }

  listen() {
    const local = (event) => event.clientX - this.element.getBoundingClientRect().left;
    let drag = null;
    this.element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.target.closest(".cut, .anew") || this.hand?.takes(event) || this.marks?.takes(event)) return;
      drag = { x: event.clientX, left: this.left, moved: false };
      this.element.setPointerCapture(event.pointerId);
    });
    this.element.addEventListener("pointermove", (event) => {
      if (!drag) return;
      if (Math.abs(event.clientX - drag.x) > 4) drag.moved = this.dragging = true;
      if (drag.moved) this.#scrollTo(drag.left - (event.clientX - drag.x) / this.zoom);
    });
    const release = (event) => {
      if (drag && !drag.moved && event.type === "pointerup") this.onSeek(this.secondsAt(local(event)));
      drag = null;
      this.dragging = false;
    };
    this.element.addEventListener("pointerup", release);
    this.element.addEventListener("pointercancel", release);
    this.element.addEventListener("wheel", (event) => {
      const across = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
      if (event.ctrlKey || event.metaKey) this.zoomBy(Math.exp(-event.deltaY / 200), this.secondsAt(local(event)));
      else if (across) this.scrollBy((event.deltaX || event.deltaY) / this.zoom);
      else if (this.visible < this.seconds) this.scrollBy(event.deltaY / this.zoom);
      else return;
      event.preventDefault();
    }, { passive: false });
  }

  listenToOverview(overview) {
    const scrub = (event) => {
      if (!event.buttons) return;
      const seconds = ((event.clientX - overview.getBoundingClientRect().left) / overview.clientWidth) * this.whole;
      this.#scrollTo(seconds - this.visible / 2);
    };
    overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); scrub(event); });
    overview.addEventListener("pointermove", scrub);
  }

  /** Let a handle follow the pointer from bar line to bar line, and the arrow keys bar by bar. */
  listenToHandle(handle, { bar: current, onMove }) {
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      handle.setPointerCapture(event.pointerId);
      this.dragging = true;
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const seconds = this.left + (event.clientX - this.element.getBoundingClientRect().left - this.keys) / this.zoom;
      const bar = nearest(this.score.bars, seconds);
      if (bar !== current()) onMove(bar);
    });
    const release = () => { this.dragging = false; };
    handle.addEventListener("pointerup", release);
    handle.addEventListener("pointercancel", release);
    handle.addEventListener("focus", () => this.reveal(this.score.bars[current() ?? 0]));
    handle.addEventListener("keydown", (event) => {
      const bar = current() ?? 0;
      const bars = { ArrowLeft: bar - 1, ArrowDown: bar - 1, ArrowRight: bar + 1, ArrowUp: bar + 1, PageDown: bar - 4, PageUp: bar + 4, Home: 0, End: this.numBars };
      if (!(event.key in bars)) return;
      event.preventDefault();
      event.stopPropagation();
      onMove(Math.min(Math.max(bars[event.key], 0), this.numBars));
      this.reveal(this.score.bars[current() ?? 0]);
    });
  }
}

/** Index of the number in a rising list that is nearest to `seconds`. */
function nearest(list, seconds) {
  let best = 0;
  list.forEach((value, place) => { if (Math.abs(value - seconds) < Math.abs(list[best] - seconds)) best = place; });
  return best;
}
