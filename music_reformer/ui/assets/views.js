// The views of the piece: the roll, the engraved score, or both. If there is room, the score is below the roll,
// or beside it in a wide or low window; in a small window, or if the visitor prefers, it replaces the roll.

import { announce } from "./messages.js";
import { Switch } from "./switch.js";

const $ = (id) => document.getElementById(id);
const ROOM = { width: 860, height: 380 };  // size of the stage in pixels that both views need
const WIDE = 1300, LOW = 540;  // width of the stage from which, and height up to which, they are side by side

export class Views {
  #isOpen = false;
  #lastUsed;

  /** `stage` holds both views. */
  constructor({ stage, roll, engraved }) {
    Object.assign(this, { stage, roll, engraved });
    this.#lastUsed = roll;
    this.score = new Switch({ button: $("score"), name: "Score", onChange: () => this.#arrange() });
    this.both = new Switch({ button: $("score-roll"), name: "Piano roll with the score", isOn: true, onChange: () => this.#arrange() });
    for (const view of [roll, engraved]) {
      for (const event of ["pointerdown", "focusin", "wheel"]) view.element.addEventListener(event, () => { this.#lastUsed = view; }, { passive: true });
    }
    new ResizeObserver(() => this.#arrange()).observe(stage);
  }

  /** The view to zoom: of two, the one that the visitor used last. */
  get current() {
    if (!this.engraved.isShown) return this.roll;
    return document.body.dataset.view === "both" ? this.#lastUsed : this.engraved;
  }

  /** Called when a piece is opened or closed. */
  set isOpen(isOpen) {
    this.#isOpen = isOpen;
    $("score").disabled = !isOpen;
    this.#arrange();
  }

  /** Show or hide the score or, beside it, the roll. */
  toggle({ roll = false } = {}) {
    if (!roll) this.score.toggle();
    else if (!this.#hasRoom) announce("This window has no room for both the piano roll and the score");
    else if (this.engraved.isShown) this.both.toggle();
    else this.score.toggle();
  }

  /** Follow the playhead again in both views, wherever the visitor has scrolled to. */
  follow() {
    this.roll.follow();
    this.engraved.goOn();
  }

  get #hasRoom() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    return width >= ROOM.width && height >= ROOM.height;
  }

  #arrange() {
    if (!this.both) return;  // only then are both switches needed
    const { body } = document;
    const former = body.dataset.view;
    const view = !this.#isOpen || !this.score.isOn ? undefined : this.both.isOn && this.#hasRoom ? "both" : "score";
    $("score-roll").hidden = !this.#hasRoom;
    body.toggleAttribute("data-side-by-side", this.stage.clientWidth >= WIDE || this.stage.clientHeight <= LOW);
    if (view === former) return;
    const focused = [this.roll, this.engraved].find(({ element }) => element.contains(document.activeElement));
    if (view) body.dataset.view = view; else delete body.dataset.view;
    // The focused element may be hidden now.
    if (focused === this.roll && view === "score") this.engraved.element.focus();
    if (focused === this.engraved && !view) this.roll.element.focus();
    if (view && !former) this.engraved.open();
  }
}
