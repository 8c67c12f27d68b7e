// Below the variations: facts about the one on show, and the menu of tools for choosing.

import { originality } from "./wording.js";

const $ = (id) => document.getElementById(id);

export class Choosing {
  constructor({ element, piece, joining, blind }) {
    Object.assign(this, { element, piece, joining, blind });
    $("blind-test").addEventListener("click", () => { $("compare").open = false; joining.close(); blind.open(); this.follow(); });
    $("save-choices").addEventListener("click", () => { $("compare").open = false; blind.saveChoices(); });
    $("compare").addEventListener("toggle", () => this.follow());
    $("join-bars").addEventListener("click", () => { $("compare").open = false; blind.close(); joining.open(); });
  }

  /** Called when something else is shown, or the phase has changed. */
  follow() {
    const { blind, joining, piece } = this;
    blind.follow();
    this.element.hidden = !piece.version?.run?.finished || Boolean(piece.composition);
    const { variation, version } = piece;
    $("why").textContent = variation && !this.element.hidden && !blind.isOn ? originality(variation, version.run) : "";
    $("join-bars").disabled = !joining.isPossible;
    $("blind-test").disabled = !blind.isPossible;
    $("save-choices").disabled = !blind.hasChoices;
    joining.follow();
  }
}
