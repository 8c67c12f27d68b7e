// What the page is doing, and which buttons are available meanwhile. Phases: empty (nothing is open), opening, ready,
// composing, done (variations are there).

import { composeButton } from "./wording.js";

const STOP = "Stop and keep this";
const $ = (id) => document.getElementById(id);

export class Phase {
  name = "empty";

  /** `onSettled()` is called when the open piece should be kept; `onChange(abilities)` on every change. */
  constructor({ piece, transport, onSettled, onChange }) {
    Object.assign(this, { piece, transport, onSettled, onChange });
  }

  enter(name) {
    this.name = name;
    document.body.dataset.phase = name;
    this.refresh();
  }

  /** Return to the phase of what is open, after opening something else has failed. */
  resume() {
    const { composition, version } = this.piece;
    this.enter(composition ? "composing" : !version ? "empty" : version.run ? "done" : "ready");
  }

  /** Called when notes arrive: from the first one on, there is something to keep. */
  grow() { if ($("stop").textContent !== STOP) this.refresh(); }

  /** Update the buttons for what is open. */
  refresh() {
    const { name, piece, transport } = this;
    const isBusy = name === "composing", isClosed = name === "empty" || name === "opening";
    $("compose").hidden = isBusy;
    $("compose").disabled = isClosed || piece.isSaving;
    $("compose").textContent = isClosed ? "Continue" : composeButton(piece);
    $("rewrite-row").hidden = isBusy || isClosed || !piece.score.notes.length;
    $("rewrite").disabled = isBusy || isClosed || piece.isSaving;
    $("export").inert = piece.isSaving;
    $("blank-settings").hidden = !piece.isEmptyPiece;
    for (const id of ["key-ahead", "key-ahead-label", "metre-ahead", "metre-ahead-label", "chords-again"]) $(id).hidden = piece.isEmptyPiece;
    $("stop").hidden = $("progress").hidden = !isBusy;
    $("stop").textContent = piece.composition?.hasNotes ? STOP : "Cancel";
    $("stop").disabled = false;
    $("roll-hint").textContent = name === "opening" ? "Opening…"
      : name === "ready" && piece.isEmptyPiece && !piece.isSaving ? "Nothing here yet. Press Compose to begin, or record what you play." : "";
    transport.say(transport.obstacle && piece.version ? transport.obstacle : "");
    transport.show();
    this.onChange({ canEdit: !isBusy && !isClosed && piece.score.notes.length > 0 });
    if (name === "ready" || name === "done") this.onSettled();
  }
}
