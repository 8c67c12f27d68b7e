// The piano roll: notes over time on a canvas, with keys, bars and a playhead. It scrolls and zooms in time; in pitch
// it always shows every note. Notes are drawn on one canvas, what moves (playhead, pointer) on another above it.

import { colours, drawSmall, pitchRange, prepare } from "./draw.js";

const RULER = 24;
const DRUM_ROW = 8;
const MAX_PIXELS_PER_SECOND = 400;
const BLACK = new Set([1, 3, 6, 8, 10]);

export class Roll {
  /** `onSeek(seconds)` is told where the visitor clicked. */
  constructor({ element, overview, onSeek }) {
    this.element = element;
    [this.canvas, this.over] = element.querySelectorAll("canvas");
    [this.overview, this.overviewOver] = overview.querySelectorAll("canvas");
    this.onSeek = onSeek;
    this.show({ notes: [], bars: [], beats: [], seconds: 8, cut: null });
    new ResizeObserver(() => { this.clampView(); this.redraw(); }).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    this.listen(overview);
  }

  /** Show a piece: `notes` by start time, `bars` and `beats` in seconds, its length, where new music begins or null. */
  show({ notes, bars, beats, seconds, cut }, { keepView = false } = {}) {
    Object.assign(this, { notes, bars, beats, cut, seconds: Math.max(seconds, 1) });
    this.longest = notes.reduce((longest, note) => Math.max(longest, note.end - note.start), 0);
    this.playhead = keepView ? this.playhead : 0;
    this.range = pitchRange(notes);
    this.drums = [...new Set(notes.filter((note) => note.drum).map((note) => note.pitch))].sort((a, b) => b - a);
    if (keepView) this.clampView(); else this.fit();
    this.redraw();
  }

  /** Add notes as they are composed. They come nearly in order; the list stays sorted by start. */
  append(notes) {
    for (const note of notes) {
      let place = this.notes.length;
      while (place > 0 && this.notes[place - 1].start > note.start) place--;
      this.notes.splice(place, 0, note);
      this.longest = Math.max(this.longest, note.end - note.start);
      if (note.drum && !this.drums.includes(note.pitch)) this.drums = [...this.drums, note.pitch].sort((a, b) => b - a);
      if (note.end > this.seconds) this.seconds = note.end;
    }
    const [low, high] = pitchRange(this.notes);
    this.range = [Math.min(low, this.range[0]), Math.max(high, this.range[1])];
    this.redraw();
  }

  get keys() { return this.element.clientWidth < 600 ? 34 : 46; }
  get span() { return Math.max(this.element.clientWidth - this.keys, 10); }
  get visible() { return this.span / this.zoom; }
  /** What "everything" is when zoomed out: the piece and a little air behind it. */
  get whole() { return this.seconds * 1.02; }
  get leastZoom() { return this.span / this.whole; }

  fit() { this.viewFrom(0, this.whole); }
  viewFrom(from, to) { this.left = from; this.zoom = this.span / Math.max(to - from, 0.1); this.clampView(); this.redraw(); }
  clampView() {
    this.zoom = Math.min(Math.max(this.zoom, this.leastZoom), Math.max(MAX_PIXELS_PER_SECOND, this.leastZoom));
    this.left = Math.max(0, Math.min(this.left, this.whole - this.visible));
  }
  zoomBy(factor, at = this.left + this.visible / 2) {
    const share = (at - this.left) / this.visible;
    this.zoom *= factor;
    this.clampView();
    this.left = at - share * this.visible;
    this.clampView();
    this.redraw();
  }
  scrollBy(seconds) { this.left += seconds; this.clampView(); this.redraw(); }

  /** Move the playhead; with `follow`, turn the page when it leaves the view. */
  moveTo(seconds, { follow = false } = {}) {
    this.playhead = seconds;
    const hidden = seconds < this.left || seconds > this.left + this.visible * 0.97;
    if (follow && hidden && !this.dragging) { this.left = seconds - this.visible * 0.05; this.clampView(); this.redraw(); }
    else this.redrawOver();
  }

  redraw() { this.stale = true; this.redrawOver(); }
  redrawOver() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      if (this.stale) this.drawNotes();
      this.stale = false;
      this.drawOver();
    });
  }

  x(seconds) { return this.keys + (seconds - this.left) * this.zoom; }
  secondsAt(x) { return Math.min(Math.max(this.left + (x - this.keys) / this.zoom, 0), this.seconds); }

  /** Bars and beats in seconds, carried on at the last bar's length where the piece is still being composed. */
  lines() {
    const bars = [...this.bars];
    const length = bars.length > 1 ? bars.at(-1) - bars.at(-2) : 2;
    if (!bars.length) bars.push(0);
    while (bars.at(-1) + length < this.left + this.visible && bars.length < 20000) bars.push(bars.at(-1) + length);
    return { bars, beats: this.beats };
  }

  drawNotes() {
    const { context, width, height } = prepare(this.canvas);
    const palette = colours();
    const drumsTall = this.drums.length * DRUM_ROW + (this.drums.length ? 8 : 0);
    const [low, high] = this.range;
    const floor = height - drumsTall;
    const row = (floor - RULER) / (high - low + 1);
    const y = (pitch) => RULER + (high - pitch) * row;

    context.fillStyle = palette.row;
    context.fillRect(0, 0, width, height);
    context.fillStyle = palette["row-black"];
    for (let pitch = low; pitch <= high; pitch++) {
      if (BLACK.has(pitch % 12)) context.fillRect(this.keys, y(pitch), width, row);
    }
    if (this.cut !== null) {
      context.fillStyle = palette["new-tint"];
      context.fillRect(Math.max(this.x(this.cut), this.keys), RULER, width, height);
    }
    this.drawGrid(context, palette, { width, height, floor, drumsTall });

    context.save();
    context.beginPath();
    context.rect(this.keys, 0, width, height);
    context.clip();
    const first = this.firstFrom(this.left - this.longest);
    const until = this.left + this.visible;
    for (let index = first; index < this.notes.length && this.notes[index].start <= until; index++) {
      const note = this.notes[index];
      context.fillStyle = note.isNew ? palette.new : palette.old;
      context.globalAlpha = 0.4 + 0.6 * Math.min(note.velocity / 110, 1);
      const wide = Math.max((note.end - note.start) * this.zoom - 1, 2);
      if (note.drum) {
        const top = floor + 6 + this.drums.indexOf(note.pitch) * DRUM_ROW;
        context.fillRect(this.x(note.start), top, Math.min(wide, 5), DRUM_ROW - 3);
      } else {
        const tall = Math.max(row - 1, 2);
        context.beginPath();
        context.roundRect(this.x(note.start), y(note.pitch) + (row - tall) / 2, wide, tall, Math.min(tall / 3, 3, wide / 2));
        context.fill();
      }
    }
    context.restore();
    context.globalAlpha = 1;
    if (this.cut !== null && this.cut > 0) {
      context.fillStyle = palette.new;
      const at = this.x(this.cut);
      if (at >= this.keys) context.fillRect(Math.round(at) - 1, RULER - 6, 2, height);
    }
    this.drawKeys(context, palette, { low, high, y, row, floor, height });
    drawSmall(this.overview, this.notes, { from: 0, to: this.whole, range: this.range });
  }

  drawGrid(context, palette, { width, height, floor, drumsTall }) {
    const { bars, beats } = this.lines();
    const beatApart = beats.length > 1 ? (beats[1] - beats[0]) * this.zoom : 0;
    const vertical = (seconds, colour, top) => {
      const at = Math.round(this.x(seconds));
      if (at < this.keys || at > width) return;
      context.fillStyle = colour;
      context.fillRect(at, top, 1, height - top);
    };
    if (beatApart > 9) for (const beat of beats) vertical(beat, palette.beat, RULER);
    const barApart = bars.length > 1 ? ((bars.at(-1) - bars[0]) / (bars.length - 1)) * this.zoom : width;
    // Label every 1, 2, 4, 8 ... bars, so that numbers never touch; rule lines down to 12 pixels apart.
    const labelEvery = 2 ** Math.max(0, Math.ceil(Math.log2(34 / barApart)));
    const ruleEvery = 2 ** Math.max(0, Math.ceil(Math.log2(12 / barApart)));
    context.font = "11px " + getComputedStyle(this.element).fontFamily;
    context.textBaseline = "middle";
    bars.forEach((bar, index) => {
      if (index % ruleEvery === 0) vertical(bar, palette.bar, index % labelEvery === 0 ? 6 : RULER);
      if (index % labelEvery === 0 && this.x(bar) >= this.keys - 1) {
        context.fillStyle = palette.muted;
        context.fillText(String(index + 1), this.x(bar) + 5, RULER / 2 + 1);
      }
    });
    context.fillStyle = palette.line;
    context.fillRect(0, RULER, width, 1);
    if (drumsTall) context.fillRect(0, Math.round(floor), width, 1);
  }

  drawKeys(context, palette, { low, high, y, row, floor, height }) {
    context.fillStyle = palette.row;
    context.fillRect(0, 0, this.keys, height);
    context.fillStyle = palette["key-white"];
    context.fillRect(0, RULER + 1, this.keys - 1, floor - RULER - 1);
    const black = this.keys * (this.keys > 40 ? 0.58 : 0.5);
    for (let pitch = low; pitch <= high; pitch++) {
      if (BLACK.has(pitch % 12)) {
        context.fillStyle = palette["key-black"];
        context.fillRect(0, y(pitch), black, Math.max(row - 0.5, 1));
      }
      // White keys meet under the middle of a black one, or, below C and F, at the row's own edge.
      context.fillStyle = "rgba(120, 120, 120, .35)";
      if (BLACK.has(pitch % 12)) context.fillRect(black, y(pitch) + row / 2, this.keys - black - 1, 1);
      else if (pitch % 12 === 0 || pitch % 12 === 5) context.fillRect(0, y(pitch) + row, this.keys - 1, 1);
      if (pitch % 12 === 0) {
        context.fillStyle = "#55585f";
        context.font = `${this.keys > 40 ? 10 : 9}px sans-serif`;
        context.textBaseline = "middle";
        context.fillText(`C${pitch / 12 - 1}`, black + 2, y(pitch) + row / 2);
      }
    }
    if (floor < height) {
      context.fillStyle = palette.muted;
      context.font = "10px sans-serif";
      context.textBaseline = "middle";
      context.fillText("drums", this.keys > 40 ? 8 : 3, (floor + height) / 2 + 1);
    }
    context.fillStyle = palette.line;
    context.fillRect(this.keys - 1, 0, 1, height);
    context.fillRect(0, RULER, this.keys, 1);
  }

  drawOver() {
    const { context, height } = prepare(this.over);
    const palette = colours();
    const at = this.x(this.playhead);
    if (at >= this.keys - 1) {
      context.fillStyle = palette.playhead;
      context.fillRect(at - 0.75, 0, 1.5, height);
      context.beginPath();
      context.moveTo(at - 6, 0); context.lineTo(at + 6, 0); context.lineTo(at, 9);
      context.fill();
    }
    this.drawOverviewOver(palette);
  }

  /** On the small picture of the whole piece: which stretch of it is in view, and the playhead. */
  drawOverviewOver(palette) {
    const { context, width, height } = prepare(this.overviewOver);
    const scale = width / this.whole;
    if (this.visible < this.seconds * 0.99) {
      const [left, right] = [this.left * scale, (this.left + this.visible) * scale];
      context.fillStyle = palette.panel;
      context.globalAlpha = 0.6;
      context.fillRect(0, 0, left, height);
      context.fillRect(right, 0, width - right, height);
      context.globalAlpha = 1;
      context.strokeStyle = palette.muted;
      context.strokeRect(left + 0.5, 0.5, Math.min(right, width) - left - 1, height - 1);
    }
    context.fillStyle = palette.playhead;
    context.fillRect(this.playhead * scale, 0, 1.5, height);
  }

  /** Index of the first note that starts at `seconds` or later. */
  firstFrom(seconds) {
    let [low, high] = [0, this.notes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.notes[middle].start < seconds) low = middle + 1; else high = middle;
    }
    return low;
  }

  listen(overview) {
    const local = (event, element) => event.clientX - element.getBoundingClientRect().left;
    let drag = null;
    this.element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      drag = { x: event.clientX, left: this.left, moved: false };
      this.element.setPointerCapture(event.pointerId);
    });
    this.element.addEventListener("pointermove", (event) => {
      if (!drag) return;
      if (Math.abs(event.clientX - drag.x) > 4) drag.moved = this.dragging = true;
      if (drag.moved) { this.left = drag.left - (event.clientX - drag.x) / this.zoom; this.clampView(); this.redraw(); }
    });
    const release = (event) => {
      if (drag && !drag.moved && event.type === "pointerup") this.onSeek(this.secondsAt(local(event, this.element)));
      drag = null;
      this.dragging = false;
    };
    this.element.addEventListener("pointerup", release);
    this.element.addEventListener("pointercancel", release);
    this.element.addEventListener("wheel", (event) => {
      const across = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
      if (event.ctrlKey || event.metaKey) this.zoomBy(Math.exp(-event.deltaY / 200), this.secondsAt(local(event, this.element)));
      else if (across) this.scrollBy((event.deltaX || event.deltaY) / this.zoom);
      else if (this.visible < this.seconds) this.scrollBy(event.deltaY / this.zoom);
      else return;
      event.preventDefault();
    }, { passive: false });

    const scrub = (event) => {
      if (!event.buttons) return;
      const seconds = (local(event, overview) / overview.clientWidth) * this.whole;
      this.left = seconds - this.visible / 2;
      this.clampView();
      this.redraw();
    };
    overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); scrub(event); });
    overview.addEventListener("pointermove", scrub);
  }
}
