// The lanes above the roll, closed by default: sections and chords of the piece and of the new bars. They
// scroll and zoom with the roll, which leaves room for the new bars while they are open.

import { barLength } from "./asked.js";
import { ChordLane } from "./chord-lane.js";
import { LaneBox } from "./lane-box.js";
import { SectionLane } from "./section-lane.js";
import { Switch } from "./switch.js";

const AIR = 1.01;  // factor of room after the new bars

export class Lanes {
  isOpen = false;

  /** `onGo(seconds)` receives the position to go to. */
  constructor({ element, button, roll, piece, asked, onGo }) {
    Object.assign(this, { element, roll, piece, asked, go: (bar) => onGo(this.secondOf(bar)) });
    this.font = getComputedStyle(element).fontFamily;
    this.box = new LaneBox({ host: element });
    this.sections = new SectionLane({ element: element.querySelector("#section-lane"), lanes: this });
    this.chords = new ChordLane({
      element: element.querySelector("#chord-lane"), lanes: this,
      onChoose: (from, to) => this.asked.bars && this.sections.ask({ from: from + 1, to: to + 1, title: `Bars ${from + 1} to ${to + 1}`, at: from }),
    });
    roll.lanes = this;
    for (const handle of [roll.handle, roll.untilHandle]) handle.addEventListener("pointerup", () => roll.redraw());
    element.addEventListener("wheel", (event) => this.#pass(event), { passive: false });
    this.switch = new Switch({ button, name: "Chords and sections", onChange: (isOn) => this.#open(isOn) });
  }

  toggle() { this.switch.toggle(); }

  #open(isOpen) {
    this.isOpen = isOpen;
    this.element.hidden = !isOpen;
    if (!isOpen) this.box.close();
    this.follow();
  }

  /** Called when the requested chords, form or length have changed. */
  follow() {
    if (this.roll.fitted) this.roll.fit();
    else this.roll.redraw();
  }

  draw() {
    const { roll } = this;
    if (!this.isOpen) return;
    // The cut has moved, and the new bars with it.
    if (roll.fitted && !roll.dragging && roll.zoom > roll.leastZoom * 1.001) roll.fit();
    this.sections.draw();
    this.chords.draw();
  }

  /** Number of bars on show before the new ones. */
  get numKept() { return this.asked.bars?.first ?? this.piece.numBars; }
  /** Number of bars, new ones included. */
  get numBars() {
    const { bars } = this.asked;
    return Math.max(this.piece.numBars, bars ? bars.first + bars.count : 0, 1);
  }

  /** Whether a bar is a new one. */
  isNew(bar) {
    const { bars } = this.asked;
    return bars !== null && bar >= bars.first && bar < bars.first + bars.count;
  }

  /** Time up to which the roll has to reach, in seconds. */
  get end() { return this.isOpen && this.asked.bars ? this.secondOf(this.numBars) * AIR : 0; }

  /** Start of a bar in seconds; bars beyond the piece are as long as its last one. */
  secondOf = (bar) => {
    const { score } = this.piece;
    const last = score.bars.length - 1;
    return bar <= last ? score.bars[bar] : score.bars[last] + (bar - last) * barLength(score, last);
  };

  /** The bar under the pointer. */
  barAt(event) {
    const { roll } = this;
    const seconds = roll.left + (event.clientX - this.element.getBoundingClientRect().left - roll.keys) / roll.zoom;
    let bar = 0;
    while (bar + 1 < this.numBars && this.secondOf(bar + 1) <= seconds) bar++;
    return bar;
  }

  /** Turning the wheel over the lanes moves the roll. */
  #pass(event) {
    if (event.target.closest("[role=dialog]")) return;
    if (!this.roll.element.dispatchEvent(new WheelEvent("wheel", event))) event.preventDefault();
  }
}
