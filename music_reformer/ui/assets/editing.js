// Editing notes by hand: the selection and its changes. The pointer is in hand.js, the row of tools in
// edit-tools.js, the keys in edit-keys.js; edit-saving.js sends changes to the server.

import { openKept } from "./api.js";
import { Clipboard } from "./clipboard.js";
import { count } from "./draw.js";
import { EditTools } from "./edit-tools.js";
import { announce, complain } from "./messages.js";
import { barAt, effective, hasTicks, keyOf, made, noteName, pitchName, placeName, quantised, shifted, snap, tickAt } from "./notes.js";
import { scoreOf } from "./score.js";

const $ = (id) => document.getElementById(id);
const MOST = 800;  // limit on changes in one order, and on notes in a file dragged out
const NEW_VELOCITY = 80;
const LOUDER = 8;

export class Editing {
  #keys = new Set();  // of the selected notes
  cursor = null;  // {tick, pitch} where the keyboard adds a note
  #clipboard = new Clipboard();

  /** `keep(index)` makes a variation the piece; `sound(note)` plays a note; `file(part)` returns a part of the piece
   *  as a file (see `letDragOut`). */
  constructor({ piece, desk, roll, player, saving, locks, keep, sound, file }) {
    Object.assign(this, { piece, desk, roll, player, saving, locks, keep, sound, file });
    $("edit").addEventListener("click", () => this.switch());
    this.tools = new EditTools({ onUse: (tool) => this.use(tool), file: () => this.#file() });
  }

  get isOn() { return this.piece.isEditing; }
  get draws() { return this.tools.draws; }
  /** Ticks between two lines of the grid. */
  get step() { return this.tools.step(this.score); }
  /** Length of a new note in ticks. */
  get length() { return this.step > 1 ? this.step : this.score.resolution / 4; }
  get selected() { return this.score.notes.filter((note) => this.#keys.has(keyOf(note))); }
  get hasSelection() { return this.#keys.size > 0; }
  isSelected(note) { return this.#keys.has(keyOf(note)); }
  /** The place of the keyboard's cursor as a note; null if notes are selected. */
  get place() { return this.cursor && !this.#keys.size ? this.#newNote(this.cursor) : null; }
  get score() { return this.piece.score; }

  switch() {
    if (this.isOn) this.leave();
    else this.enter();
  }

  async enter() {
    const { piece, desk } = this;
    if (piece.composition || !piece.score.notes.length) return;
    if (piece.variation && !await this.keep(piece.version.selected)) return;
    if (!hasTicks(piece.score) && !await this.#readAgain(piece.version)) return;
    piece.isEditing = true;
    this.cursor = { tick: snap(this.score, tickAt(this.score, this.player.time), this.step, { down: true }), pitch: 60 };
    this.#show();
    desk.showCut();
    this.roll.element.focus({ preventScroll: true });
    announce("Editing notes. Arrow keys move, comma and full stop select a note, Enter adds one, Escape ends.");
  }

  /** Fetch the ticks that a version kept by an older page lacks. Resolves to whether it has them now. */
  async #readAgain(version) {
    try {
      version.score = scoreOf((await openKept(version.key)).roll);
    } catch (error) {
      complain(error);
      return false;
    }
    if (version !== this.piece.version) return false;
    this.desk.show({ keepView: true });
    return true;
  }

  leave() {
    if (!this.isOn) return;
    this.piece.isEditing = false;
    this.#keys.clear();
    this.roll.element.style.cursor = "";
    this.#show();
    this.desk.showCut();
    announce("Editing ended");
  }

  /** Update everything for what is open; end editing if it cannot be edited. */
  follow({ canEdit }) {
    $("edit").disabled = !canEdit;
    if (this.isOn && (!canEdit || this.piece.variation || !hasTicks(this.score))) this.leave();
    this.#keys = new Set(this.selected.map(keyOf));  // an undo may have removed some
    this.#show();
  }

  #show() {
    document.body.toggleAttribute("data-editing", this.isOn);
    $("edit").setAttribute("aria-pressed", this.isOn);
    $("edit-tools").hidden = !this.isOn;
    if (this.isOn) this.tools.show(this.score, { notes: this.#keys.size > 0, copied: !this.#clipboard.isEmpty, locked: this.#areLocked });
    this.roll.redrawOver();
  }

  /** The selected notes as a file {name, address}, or null. */
  #file() {
    const { score, selected } = this;
    if (!selected.length || selected.length > MOST) return null;
    const [first, last] = [selected[0], selected.at(-1)].map(({ tick }) => score.barTicks.findLastIndex((start) => start <= tick));
    return this.file({ cut: first, until: last + 1, notes: selected.map(({ track, tick, pitch }) => [score.tracks[track].index, tick, pitch]) });
  }

  get #areLocked() { return this.#keys.size > 0 && this.selected.every((note) => this.locks.has(note)); }

  /** Lock the selected notes, or unlock them. */
  #lock() {
    const notes = this.selected;
    if (!notes.length) return;
    const locks = this.locks.toggle(notes);
    this.#say(`${locks ? "Locked" : "Unlocked"} ${count(notes.length, "note")}${locks ? "; they stay where bars are composed anew" : ""}`);
    this.#show();
  }

  #say(text) {
    announce(text);
    $("edit-said").textContent = text;
  }

  #tell() {
    const notes = this.selected;
    if (notes.length === 1) this.#say(noteName(this.score, notes[0]));
    else this.#say(notes.length ? `${count(notes.length, "note")} selected` : "Nothing selected");
    this.#show();
  }

  // ---- Selecting

  select(notes, { adds = false } = {}) {
    if (!adds) this.#keys.clear();
    for (const note of notes) this.#keys.add(keyOf(note));
    if (notes.length) {
      this.tools.chooseTrack(notes[0].track);
      this.cursor = { tick: notes[0].tick, pitch: notes[0].pitch };
    }
    this.#tell();
  }

  deselect() {
    this.#keys.clear();
    this.#tell();
  }

  toggle(note) {
    if (!this.#keys.delete(keyOf(note))) this.#keys.add(keyOf(note));
    this.#tell();
  }

  selectAll() { this.select(this.score.notes); }

  /** Move the cursor, and clear the selection. */
  point(tick, pitch = this.cursor?.pitch ?? 60) {
    if (!this.isOn) return;
    this.#keys.clear();
    this.cursor = { tick: snap(this.score, tick, this.step, { down: true }), pitch };
    this.#say(`${pitchName(pitch)}, ${placeName(this.score, this.cursor.tick)}`);
    this.#show();
  }

  /** Move the cursor to the playhead. */
  pointAt(seconds) { if (this.isOn) this.point(tickAt(this.score, seconds)); }

  /** Select the note before or after the selected one or the cursor. */
  walk(direction, { adds = false } = {}) {
    const { notes } = this.score;
    const audible = notes.filter(({ track }) => !this.roll.silent.has(track));
    const chosen = audible.filter((note) => this.isSelected(note));
    const at = audible.indexOf(direction > 0 ? chosen.at(-1) : chosen[0]);
    const beside = direction > 0
      ? audible.find(({ tick }) => tick >= this.cursor.tick) : audible.findLast(({ tick }) => tick <= this.cursor.tick);
    const next = at < 0 ? beside : audible[at + direction];
    if (!next) return;
    this.select([next], { adds });
    this.roll.reveal(next.start);
    this.sound(next);
  }

  /** Select the notes of the bar at the cursor; each further call adds the next bar. */
  #selectBar() {
    const inBar = (bar) => this.score.notes.filter(({ tick }) => tick >= bar.tick && tick < bar.tick + bar.length);
    const chosen = this.selected;
    let bar = barAt(this.score, chosen.at(-1)?.tick ?? this.cursor.tick);
    const isWhole = chosen.length > 0 && inBar(bar).every((note) => this.isSelected(note));
    if (isWhole) bar = barAt(this.score, bar.tick + bar.length);
    this.select(inBar(bar), { adds: isWhole });
  }

  // ---- Changing

  /** Move, transpose, lengthen or make louder the selected notes. */
  change(by) {
    const notes = this.selected;
    if (!notes.length) return;
    this.#commit(shifted(this.score, notes, { shortest: this.step, ...by }));
    if (by.pitch && notes.length === 1) this.sound(this.selected[0]);
  }

  /** Add a note; `drum`: whether it was drawn on the drum rows, if known. */
  add(place) {
    const note = this.#newNote(place);
    if (this.score.notes.some((other) => keyOf(other) === keyOf(note))) return;
    this.#commit([{ old: null, made: note }]);
    this.sound(note);
  }

  #newNote({ tick, pitch, ticks = this.length, drum }) {
    const track = this.tools.trackFor(this.score, { drum });
    return made(this.score, { track, tick, ticks, pitch, velocity: NEW_VELOCITY });
  }

  #copy() {
    const notes = this.selected;
    if (!notes.length) return;
    this.cursor = { tick: this.#clipboard.take(this.score, notes), pitch: notes[0].pitch };
    this.#say(`Copied ${count(notes.length, "note")}, to paste at ${placeName(this.score, this.cursor.tick)}`);
    this.#show();
  }

  #cut() {
    const notes = this.selected;
    if (!notes.length) return;
    this.#copy();
    this.cursor.tick = barAt(this.score, notes[0].tick).tick;
    this.#remove();
  }

  /** Paste the copied notes at the bar of the cursor, and move the cursor after them. */
  #paste() {
    if (this.#clipboard.isEmpty) return;
    const { tick } = barAt(this.score, this.cursor.tick);
    this.#commit(this.#clipboard.put(this.score, tick).map((note) => ({ old: null, made: note })));
    this.cursor.tick = tick + this.#clipboard.length;
  }

  #remove() { this.#commit(this.selected.map((old) => ({ old, made: null }))); }

  #commit(all) {
    const changes = effective(all);
    if (!changes.length || !this.isOn) return;
    if (changes.length > MOST) {
      this.#say(`At most ${MOST} notes can be changed at a time.`);
      return;
    }
    const left = this.selected.filter((note) => !changes.some(({ old }) => old === note));
    this.saving.make(changes);
    const notes = changes.flatMap(({ made: note }) => (note ? [note] : []));
    this.select(changes[0].old ? [...left, ...notes] : notes);
    if (!notes.length) this.#say(`Deleted ${count(changes.length, "note")}`);
  }

  /** Run the action of a tool or a key, by name. */
  use(tool) {
    const tools = {
      draw: () => this.tools.toggleDraw(),
      down: () => this.change({ pitch: -1 }), up: () => this.change({ pitch: 1 }),
      octaveDown: () => this.change({ pitch: -12 }), octaveUp: () => this.change({ pitch: 12 }),
      softer: () => this.change({ velocity: -LOUDER }), louder: () => this.change({ velocity: LOUDER }),
      quantise: () => this.#commit(quantised(this.score, this.selected, this.step)),
      bar: () => this.#selectBar(), copy: () => this.#copy(), cut: () => this.#cut(), paste: () => this.#paste(), delete: () => this.#remove(),
      lock: () => this.#lock(),
    };
    tools[tool]?.();
  }
}
