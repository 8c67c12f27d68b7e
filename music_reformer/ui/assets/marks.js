// Bars that the visitor marks on the roll for recomposing: by dragging along the ruler (with Shift, anywhere),
// by a double-click on a bar, or by keys; in all tracks, or in some. Marked bars are the wanted bars of the piece (see
// open-piece.js), so the two handles enclose them; unmarking restores the bars that were wanted before.

import { letDragOut } from "./drag-out.js";
import { count } from "./draw.js";
import { announce } from "./messages.js";
import { RULER, boxOf, onNotes } from "./roll-picture.js";
import { barsFromTo, namesOf } from "./wording.js";

const $ = (id) => document.getElementById(id);
const FAR = 4;  // pixels of movement that make a press a drag
const ASIDE = 8;  // pixels between the button and the edges of the roll

export class Marks {
  #former = null;  // {here, wanted}: the bars wanted before marking, and the version or run that they belong to
  #drag = null;  // {x, bar, moved, shift}

  /** `compose(order)` composes the wanted bars or, with {rewrite}, that many bars at the end; `file(bars)` returns
   *  the marked bars as a file {name, address}, or null. */
  constructor({ piece, desk, roll, tracks, player, compose, file }) {
    Object.assign(this, { piece, desk, roll, tracks, player, compose, file });
    const { element } = roll;
    element.addEventListener("pointerdown", (event) => { if (this.takes(event)) this.#press(event); });
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#release(event));
    element.addEventListener("pointercancel", () => { this.#drag = null; });
    element.addEventListener("dblclick", (event) => { if (this.#isInBars(event)) this.#markAndTell(this.#barAt(event)); });
    $("anew-go").addEventListener("click", () => this.go());
    $("anew-back").addEventListener("click", () => this.giveBack());
    letDragOut($("anew-out"), () => this.bars && this.file(this.bars));
  }

  /** Whether bars can currently be marked. */
  get #can() {
    const { piece } = this;
    return Boolean(piece.canInfill && piece.version?.key && !piece.composition && !piece.isEditing && piece.score.notes.length);
  }

  get #here() { return this.piece.variation ? this.piece.version.run : this.piece.version; }

  /** The marked bars {cut, until, tracks}; null: none. */
  get bars() {
    const { piece } = this;
    if (!this.#can || piece.wantsSameBars) return null;
    const { cut, until, tracks } = piece.wanted;
    if (until !== null) return { cut, until, tracks };
    // Bars up to the end of the piece are rewritten, not continued.
    return this.#former?.here === this.#here && this.#former.marked === cut ? { cut, until: piece.numBars, tracks } : null;
  }

  /** The time of the marked bars, {from, to} in seconds; null: none are marked. */
  get seconds() {
    const { bars, piece } = this;
    return bars && { from: piece.score.bars[bars.cut], to: piece.score.bars[bars.until] ?? piece.score.seconds };
  }

  /** Mark bars from `cut` up to `until`. */
  mark(cut, until, tracks = this.piece.wanted.tracks) {
    if (!this.#can) return;
    if (this.#former?.here !== this.#here) this.#former = { here: this.#here, wanted: this.piece.wanted };
    this.#former.marked = cut;
    this.desk.want({ cut, until, tracks });
  }

  #markAndTell(cut, until = cut + 1) {
    this.mark(cut, until);
    this.#tell();
  }

  /** Mark the bar at the playhead or, if bars are marked, extend them by `more` bars. */
  extend(more) {
    if (!this.#can) return;
    const { bars, piece, roll } = this;
    if (bars) this.mark(bars.cut, Math.min(Math.max(bars.until + more, bars.cut + 1), piece.numBars), bars.tracks);
    else this.mark(this.#barOf(this.player.time), this.#barOf(this.player.time) + 1);
    roll.reveal(roll.score.bars[Math.max(this.bars.until - 1, 0)]);
    this.#tell();
  }

  /** Mark a track, given by its place, or unmark it: the bars are marked in the marked tracks only or, without any, in all. */
  toggleTrack(place) {
    if (!this.bars) return;
    const { index } = this.piece.score.tracks[place];
    const { cut, until, tracks } = this.bars;
    this.mark(cut, until, tracks.includes(index) ? tracks.filter((other) => other !== index) : [...tracks, index]);
    this.#tell();
  }

  /** Recompose the marked bars. Returns whether any are marked. */
  go() {
    const { bars, piece } = this;
    if (!bars) return false;
    this.compose(piece.wanted.until === null ? { rewrite: bars.until - bars.cut } : {});
    return true;
  }

  /** Unmark all bars, and restore the bars wanted before. Returns whether any were marked. */
  giveBack() {
    if (!this.bars) return false;
    const { piece } = this;
    const former = this.#former?.here === this.#here ? this.#former.wanted : null;
    this.#former = null;
    this.desk.want(former ?? { cut: piece.numBars, until: null });
    announce("The bars stay as they are");
    return true;
  }

  #tell() {
    if (!this.bars) return;
    const whose = this.#names().join(" and ");
    const place = `${barsFromTo(this.bars.cut, this.bars.until)}${whose ? ` of ${whose}` : ""}`;
    announce(`Marked ${place}. Enter composes them anew, B marks one more, Escape leaves them.`);
  }

  #names() {
    return namesOf(this.piece.score, this.bars.tracks);
  }

  /** Update button and track names for the marked bars. */
  follow() {
    const { bars, roll } = this;
    this.tracks.choose(bars?.tracks ?? null);
    $("anew").hidden = !bars;
    if (bars) {
      const one = bars.until - bars.cut === 1;
      $("anew-go").firstChild.data = one ? "Compose this bar anew" : "Compose these bars anew";
      const out = this.file(bars);
      $("anew-out").hidden = !out;
      if (out) Object.assign($("anew-out"), { href: out.address, download: out.name });
      $("anew-what").textContent = this.#names().join(", ") || count(bars.until - bars.cut, "bar");
    }
    roll.redrawOver();
  }

  // ---- The pointer

  /** Whether a pointer event marks bars: on the ruler or, with Shift, anywhere on the bars. */
  takes(event) {
    return this.#isInBars(event) && (this.#isOnRuler(event) || event.shiftKey);
  }

  #isInBars(event) {
    return this.#can && !event.target.closest(".cut, .anew") && this.#x(event) >= this.roll.keys;
  }

  #isOnRuler(event) { return event.clientY - this.roll.element.getBoundingClientRect().top <= RULER; }
  #x(event) { return event.clientX - this.roll.element.getBoundingClientRect().left; }
  #barAt(event) { return this.#barOf(this.roll.secondsAt(Math.max(this.#x(event), this.roll.keys))); }

  /** The bar at a time, counted from 0; the last bar for any time after it. */
  #barOf(seconds) {
    const bar = this.piece.score.bars.findLastIndex((line) => line <= seconds + 1e-3);
    return Math.min(Math.max(bar, 0), this.piece.numBars - 1);
  }

  #press(event) {
    if (event.button !== 0) return;
    this.#drag = { x: event.clientX, bar: this.#barAt(event), moved: false, shift: event.shiftKey };
    this.roll.element.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const { roll } = this;
    const drag = this.#drag;
    if (!drag) {
      if (event.pointerType === "mouse") roll.element.title = this.takes(event) ? "Drag along the bars to have them composed anew" : "";
      return;
    }
    if (Math.abs(event.clientX - drag.x) > FAR) drag.moved = true;
    if (!drag.moved) return;
    const bar = this.#barAt(event);
    this.mark(Math.min(drag.bar, bar), Math.max(drag.bar, bar) + 1);
  }

  /** Handle a press without a drag: on the ruler it moves the playhead, with Shift it marks up to that bar. */
  #release(event) {
    const drag = this.#drag;
    this.#drag = null;
    if (!drag) return;
    if (drag.moved) this.#tell();
    else if (drag.shift) {
      const { cut, until } = this.bars ?? { cut: drag.bar, until: drag.bar + 1 };
      this.#markAndTell(Math.min(cut, drag.bar), Math.max(until, drag.bar + 1));
    } else this.roll.onSeek(this.roll.secondsAt(this.#x(event)));
  }

  // ---- The picture

  /** Draw the marked bars on the ruler, outlines of the chosen tracks' notes, and the button above them. */
  draw(context, frame, palette) {
    const { bars, roll } = this;
    if (!bars) return;
    const [from, to] = [roll.cutSeconds, roll.score.bars[bars.until] ?? roll.seconds];
    const [left, right] = [Math.max(roll.x(from), roll.keys), Math.min(roll.x(to), frame.width)];
    onNotes(roll, context, frame, () => {
      context.fillStyle = context.strokeStyle = palette.new;
      context.globalAlpha = 0.22;
      context.fillRect(left, 0, Math.max(right - left, 0), RULER);
      context.globalAlpha = 1;
      const chosen = new Set(bars.tracks.map((index) => roll.score.tracks.findIndex((track) => track.index === index)));
      for (const note of chosen.size ? roll.score.notes : []) {
        if (!chosen.has(note.track) || note.start < from - 1e-3 || note.start >= to - 1e-3) continue;
        const { x, y, wide, tall } = boxOf(roll, note, frame);
        context.strokeRect(x - 1, y - 0.5, wide + 2, tall + 1);
      }
    });
    this.#placeButton((left + right) / 2, frame.width);
  }

  #placeButton(middle, width) {
    const box = $("anew");
    const half = box.offsetWidth / 2;
    const least = this.roll.keys + ASIDE + half, most = width - ASIDE - half;
    box.style.transform = `translateX(${Math.round(Math.max(Math.min(middle, most), least) - half)}px)`;
  }
}

/** Actions by key while bars can be marked, for keyboard.js. */
export function markKeys(marks) {
  return {
    B: ({ shiftKey }) => marks.extend(shiftKey ? -1 : 1),
    ...(marks.bars && { Enter: () => marks.go(), Escape: () => marks.giveBack() }),
  };
}
