// Below the variations: what is said of the one on show, and the menu of what helps to choose.

const $ = (id) => document.getElementById(id);

export class Choosing {
  constructor({ element, piece, joining }) {
    Object.assign(this, { element, piece, joining });
    $("join-bars").addEventListener("click", () => { $("compare").open = false; joining.open(); });
  }

  /** Something else is on show, or the phase has changed. */
  follow() {
    const { joining, piece } = this;
    this.element.hidden = !piece.version?.run?.finished || Boolean(piece.composition);
    $("join-bars").disabled = !joining.isPossible;
    joining.follow();
  }
}
