// Composing on the open piece: the order, the run in progress, stopping it, and restoring the view if it fails.

import { Composition } from "./composition.js";
import { count } from "./draw.js";
import { announce, complain, dismiss, showProgress } from "./messages.js";
import { wholeBars } from "./score.js";

const $ = (id) => document.getElementById(id);

export class Composing {
  #former = null;  // {run, selected} of the version before the run in progress

  /** `keep(index)` makes a variation the piece, and resolves to whether it worked; `instruments` are the 128 names. */
  constructor({ piece, desk, settings, parts, locks, studying, instruments, keep }) {
    Object.assign(this, { piece, desk, settings, parts, locks, studying, instruments, keep });
  }

  /** Compose the wanted bars or, with `rewrite`, recompose that many bars at the end. */
  async compose({ rewrite = null } = {}) {
    const { piece, settings } = this;
    if (piece.composition || piece.isKeeping || !$("controls").reportValidity()) return;
    const order = settings.read({ fromNothing: piece.isEmptyPiece });
    let { cut: cutBar, until: untilBar, tracks } = piece.wanted;
    if (piece.variation && (rewrite || piece.mustKeepFirst) && !await this.keep(piece.version.selected)) return;
    const end = wholeBars(piece.version.score);
    if (rewrite) {
      cutBar = Math.max(0, end - rewrite);
      // If other parts stay in them, bars up to the end are recomposed, not continued.
      const stays = this.parts.someStay || this.locks.between(piece.version, cutBar, end).length > 0;
      [untilBar, tracks] = [stays ? end : null, []];
      order.length = `${rewrite}bars`;
    }
    if (!piece.isEmptyPiece) {
      Object.assign(order, { piece: piece.version.key, cut_bar: cutBar === end ? -1 : cutBar, until_bar: untilBar ?? -1 });
    }
    if (tracks.length) Object.assign(order, { tracks, instruments: [] });
    if (!piece.isEmptyPiece) this.#askOfParts(order, cutBar, untilBar, tracks);
    await this.#run(order, cutBar, untilBar, tracks);
  }

  /** The requests for single parts and notes. */
  #askOfParts(order, cutBar, untilBar, tracks) {
    const added = (order.parts ?? []).filter(({ program }) => program !== undefined);
    const all = [...this.parts.read({ recomposes: untilBar !== null, tracks }).parts ?? [], ...added];
    const locked = untilBar === null ? [] : this.locks.between(this.piece.version, cutBar, untilBar);
    delete order.parts;
    Object.assign(order, all.length && { parts: all }, locked.length && { locked });
  }

  async #run(order, cutBar, untilBar, tracks) {
    const { piece, desk } = this;
    const { version } = piece;
    const composition = new Composition({
      version, order, cutBar, untilBar, tracks, instruments: this.instruments,
      onStart: (run) => desk.begin(run), onGrowth: () => desk.grow(), onProgress: showProgress,
    });
    this.#former = { run: version.run, selected: version.selected };
    Object.assign(version, { run: null, selected: null });
    piece.composition = composition;
    this.#showStart();
    try {
      await this.#study();
      const run = await composition.compose();
      if (piece.composition !== composition) return;
      if (run) this.#finish(run);
      else this.#giveUp();
    } catch (error) {
      if (piece.composition !== composition) return;
      this.#giveUp();
      complain(error);
    }
  }

  /** Wait until the piece has been studied, unless the visitor skips it. */
  async #study() {
    const { studying } = this;
    if (!studying.isUnderWay) return;
    const now = $("compose-now");
    now.hidden = false;
    const impatient = new Promise((resolve) => {
      for (const button of [now, $("stop")]) button.addEventListener("click", resolve, { once: true });
    });
    const ended = studying.ended();
    studying.listen((done) => { if (!now.hidden) showProgress(done, "Studying your piece…"); });
    showProgress(studying.done, "Studying your piece…");
    await Promise.race([ended, impatient]);
    now.hidden = true;
  }

  #showStart() {
    const { desk } = this;
    desk.cards.clear();
    desk.showResult(null);
    dismiss();
    desk.show({ keepView: true });
    showProgress(0, "Starting…");
    desk.phase.enter("composing");
  }

  #finish(run) {
    const { desk, piece } = this;
    piece.composition = null;
    // If more were composed than requested, only the best remain, reordered; the one being heard stays on show if it remains.
    const { selected } = piece.version;
    const place = run.variations.findIndex(({ candidate }) => candidate === selected);
    piece.version.selected = selected === null ? null : Math.max(place, 0);
    desk.showCards(run);
    desk.cards.select(piece.version.selected);
    desk.show({ keepView: true });
    desk.phase.enter("done");
    announce(`${count(run.variations.length, "variation")} ready`);
    desk.showResult(run);
  }

  /** The run has failed: restore what was shown before it. */
  #giveUp() {
    this.forget();
    this.desk.arrive({ keepView: true });
  }

  /** Abandon the composition in progress, if there is one. */
  forget() {
    const { piece } = this;
    if (!piece.composition) return;
    piece.composition.leave();
    piece.composition = null;
    Object.assign(piece.version, this.#former);
  }

  /** Stop and keep what is composed; if nothing is yet, leave the queue or abandon the reading of the piece. */
  async halt() {
    const { composition } = this.piece;
    if (!composition) return;
    if (!composition.hasNotes) {
      composition.leave();
      return;
    }
    $("stop").disabled = true;
    $("progress-text").textContent = "Stopping…";
    try { await composition.stop(); } catch (error) { complain(error); }
  }
}
