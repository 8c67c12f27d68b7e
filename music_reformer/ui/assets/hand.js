// The pointer on the roll while notes are edited: it selects, moves, stretches and adds notes. Notes being dragged are
// drawn as outlines, and change when the pointer is released. Ruler and piano keys move the view, as always.

import { RULER, boxOf, frameOf, onNotes } from "./roll-picture.js";
import { firstFrom } from "./score.js";
import { shifted, snap, tickAt } from "./notes.js";

const FAR = 4;  // pixels of movement that make a press a drag
const REACH = { mouse: 2, pen: 5, touch: 10 };  // pixels around a note that still hit it
const EDGE = 8;  // pixels at the end of a note where it can be stretched

export class Hand {
  #drag = null;  // {kind: move, stretch, frame or draw; from: {x, y, tick, pitch}, note, change}

  /** `editing` has the selection and makes the changes. */
  constructor({ roll, editing }) {
    Object.assign(this, { roll, editing });
    const { element } = roll;
    element.addEventListener("pointerdown", (event) => { if (this.takes(event)) this.#press(event); });
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#release(event));
    element.addEventListener("pointercancel", () => this.#drop());
    element.addEventListener("dblclick", (event) => {
      if (this.takes(event) && !this.#noteAt(this.#point(event), REACH.mouse)) this.#add(this.#point(event));
    });
  }

  get #frame() { return frameOf(this.roll, this.roll.element.clientWidth, this.roll.element.clientHeight); }
  get #score() { return this.roll.score; }

  /** Whether a pointer event is handled here: on the notes, while they are edited. */
  takes(event) {
    if (!this.editing.isOn || event.target.closest(".cut")) return false;
    const { x, y } = this.#point(event);
    return x >= this.roll.keys && y > RULER;
  }

  #point(event) {
    const box = this.roll.element.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return { x, y, tick: tickAt(this.#score, this.roll.left + (x - this.roll.keys) / this.roll.zoom), pitch: this.#pitchAt(y) };
  }

  #pitchAt(y) {
    const { floor, row, high, low, drumRow } = this.#frame;
    const { drums } = this.roll;
    if (y >= floor && drums.length) return drums[Math.min(Math.max(Math.floor((y - floor) / drumRow - 0.6), 0), drums.length - 1)];
    return Math.min(Math.max(high - Math.floor((y - RULER) / row), low), high);
  }

  /** The note at a point, or the nearest within reach; notes of silent tracks do not count. */
  #noteAt({ x, y }, reach) {
    const { roll } = this;
    const frame = this.#frame;
    const { notes } = this.#score;
    let best = null, least = reach + 0.01;
    for (let index = firstFrom(notes, roll.left - roll.longest - 1); index < notes.length && roll.x(notes[index].start) <= x + reach; index++) {
      if (roll.silent.has(notes[index].track)) continue;
      const box = boxOf(this.roll, notes[index], frame);
      const off = Math.max(box.x - x, x - box.x - box.wide, box.y - y, y - box.y - box.tall, 0);
      if (off < least || (off === 0 && least === 0)) [best, least] = [notes[index], off];
    }
    return best;
  }

  /** Whether a point on a note is at its end, where it is stretched; drum hits cannot be. */
  #isAtEnd({ x: at }, note) {
    const { x, wide } = boxOf(this.roll, note, this.#frame);
    return !note.drum && at > x + wide - Math.min(EDGE, wide / 3);
  }

  #press(event) {
    if (event.button !== 0) return;
    const { editing, roll } = this;
    const from = this.#point(event);
    const note = this.#noteAt(from, REACH[event.pointerType] ?? REACH.mouse);
    roll.element.setPointerCapture(event.pointerId);
    if (!note) {
      this.#drag = { kind: editing.draws ? "draw" : "frame", from, adds: event.shiftKey, moved: false };
      return;
    }
    if (event.shiftKey || event.ctrlKey || event.metaKey) { editing.toggle(note); return; }
    const wasChosen = editing.isSelected(note);
    if (!wasChosen) editing.select([note]);
    editing.sound(note);
    this.#drag = { kind: this.#isAtEnd(from, note) ? "stretch" : "move", from, note, wasChosen, moved: false, change: {} };
  }

  #move(event) {
    const drag = this.#drag;
    if (!drag) {
      if (event.pointerType === "mouse" && this.editing.isOn) this.#showCursor(event);
      return;
    }
    const to = this.#point(event);
    drag.to = to;
    if (Math.hypot(to.x - drag.from.x, to.y - drag.from.y) > FAR) drag.moved = true;
    if (!drag.moved) return;
    const { step } = this.editing;
    const later = Math.round((to.tick - drag.from.tick) / step) * step;
    if (drag.kind === "stretch") drag.change = { ticks: later, shortest: step };
    else if (drag.kind === "move") {
      const pitch = to.pitch - drag.from.pitch;
      if (pitch !== (drag.change.pitch ?? 0)) this.editing.sound({ ...drag.note, pitch: drag.note.pitch + pitch });
      drag.change = { tick: later, pitch };
    }
    this.roll.redrawOver();
  }

  #release(event) {
    const drag = this.#drag;
    this.#drop();
    if (!drag) return;
    const { editing } = this;
    if (drag.kind === "draw") this.#add(drag.from, this.#point(event));
    else if (drag.kind === "frame" && drag.moved) editing.select(this.#framed(drag), { adds: drag.adds });
    else if (drag.kind === "frame") editing.point(drag.from.tick, drag.from.pitch);
    else if (drag.moved) editing.change(drag.change);
    else if (drag.wasChosen) editing.select([drag.note]);
  }

  #drop() {
    this.#drag = null;
    this.roll.redrawOver();
  }

  /** Add a note at the place of the press, as long as the drag. */
  #add(from, to = from) {
    const { step } = this.editing;
    const tick = snap(this.#score, from.tick, step, { down: true });
    const end = snap(this.#score, to.tick, step);
    this.editing.add({ tick, pitch: from.pitch, ticks: Math.max(end - tick, this.editing.length), drum: this.roll.drums.length > 0 && from.y >= this.#frame.floor });
  }

  #framed({ from, to }) {
    const frame = this.#frame;
    const [left, right] = [Math.min(from.x, to.x), Math.max(from.x, to.x)];
    const [top, bottom] = [Math.min(from.y, to.y), Math.max(from.y, to.y)];
    return this.#score.notes.filter((note) => {
      const { x, y, wide, tall } = boxOf(this.roll, note, frame);
      return x <= right && x + wide >= left && y <= bottom && y + tall >= top && !this.roll.silent.has(note.track);
    });
  }

  #showCursor(event) {
    const { element } = this.roll;
    const point = this.takes(event) ? this.#point(event) : null;
    const note = point && this.#noteAt(point, REACH.mouse);
    element.style.cursor = !point ? "" : !note ? "crosshair" : this.#isAtEnd(point, note) ? "ew-resize" : "move";
  }

  /** Draw the selected notes as outlines where a release would put them; the selection frame; the cursor. */
  draw(context, frame, palette) {
    if (!this.editing.isOn) return;
    const { roll, editing } = this;
    const drag = this.#drag;
    onNotes(roll, context, frame, () => {
      context.strokeStyle = context.fillStyle = palette.ink;
      context.lineWidth = 2;
      const moves = drag?.moved && drag.change;
      const notes = moves ? shifted(this.#score, editing.selected, drag.change).map(({ made }) => made) : editing.selected;
      for (const note of notes) {
        const { x, y, wide, tall } = boxOf(this.roll, note, frame);
        context.strokeRect(x - 1, y, wide + 2, tall);
        context.globalAlpha = 0.22;
        context.fillRect(x, y, wide, tall);
        context.globalAlpha = 1;
      }
      if (drag?.kind === "frame" && drag.moved) {
        context.lineWidth = 1;
        context.setLineDash([4, 3]);
        context.strokeRect(drag.from.x, drag.from.y, drag.to.x - drag.from.x, drag.to.y - drag.from.y);
      }
      const place = drag?.kind === "draw" ? null : editing.place;
      if (place) {
        const box = boxOf(this.roll, place, frame);
        context.lineWidth = 1.5;
        context.setLineDash([3, 2]);
        context.strokeRect(box.x, box.y, box.wide, box.tall);
      }
    }, RULER);
  }
}
