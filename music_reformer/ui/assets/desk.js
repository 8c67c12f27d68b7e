// The desk: keeps roll, tracks, transport, cards and tree in line with the open piece.

import { EMPTY } from "./score.js";
import { chosenFrom, cutNote, droppedBars, facts, handleLabels, losses, repairs, whyOf } from "./wording.js";

const $ = (id) => document.getElementById(id);

export class Desk {
  /** `parts`: {roll, engraved, views, transport, player, tracks, cards, instruments, phase}; `onSeed(seed)` receives a seed to reuse. */
  constructor({ piece, parts, onSeed }) {
    Object.assign(this, parts, { piece, onSeed });
  }

  /** Show the current version, or its selected variation. */
  show({ keepView = false, from = null } = {}) {
    const { piece, player, roll, tracks, transport } = this;
    const { score, variation, version, versions } = piece;
    tracks.show(score);
    roll.show(score, { keepView });
    player.choose(score, { from: keepView ? from : from ?? 0, frontier: variation?.frontier ?? Infinity });
    $("piece-name").textContent = version.name;
    $("piece-facts").textContent = version.key ? facts(version.score) : "";
    $("piece-repairs").textContent = repairs(version);
    $("piece-bars").hidden = !version.ownBars;
    this.showCut();
    this.views.isOpen = true;
    this.engraved.follow();
    transport.show();
    $("undo").disabled = !versions.canUndo;
    $("redo").disabled = !versions.canRedo;
  }

  /** Show the current version, and the variations composed from it. */
  arrive({ from = null, keepView = false } = {}) {
    const { cards, instruments, phase, piece, player } = this;
    const { run, selected, score } = piece.version;
    this.transport.endLoop();
    if (run) this.showCards(run);
    else cards.clear();
    cards.select(selected);
    const programs = instruments.read();
    instruments.show(score);
    if (programs.length) instruments.choose(programs);
    const wasPlaying = player.playing;
    this.show({ from, keepView });
    if (wasPlaying && !player.canPlay) player.pause();
    this.showResult(run);
    phase.enter(run ? "done" : "ready");
  }

  /** Called when nothing is open any more. */
  clear() {
    const { cards, instruments, piece, player, roll, tracks } = this;
    player.pause();
    this.transport.endLoop();
    player.choose(EMPTY, { from: 0 });
    piece.versions.clear();
    cards.clear();
    tracks.clear();
    instruments.show(EMPTY);
    roll.show(EMPTY);
    roll.setCut(null);
    this.views.isOpen = false;
    this.engraved.clear();
    $("length").disabled = false;
    for (const id of ["result-text", "cut-note", "piece-name", "piece-facts", "piece-repairs"]) $(id).textContent = "";
  }

  /** Update the handles, and the text on what becomes of the bars after them. */
  showCut() {
    const { piece, roll } = this;
    $("cut-note").textContent = "";
    $("length").disabled = $("metre-ahead").disabled = false;
    if (piece.isEditing || !piece.score.notes.length || (piece.isEmptyPiece && !piece.variation)) {
      roll.setCut(null);
      return;
    }
    const { cut, until, tracks } = piece.wanted;
    const end = piece.numBars;
    const leavesOut = !piece.wantsSameBars && cut < end;
    roll.setCut(cut, {
      ...handleLabels(piece), veil: leavesOut && !tracks.length, movable: !piece.composition,
      until: piece.canInfill && (leavesOut || until !== null) ? until ?? end : null,
    });
    this.engraved.mark();
    // Recomposed bars keep their number and metre.
    $("length").disabled = $("metre-ahead").disabled = until !== null;
    if (leavesOut) $("cut-note").textContent = cutNote(piece);
  }

  /** Set the bars between which the visitor wants new music. */
  want(bars) {
    this.piece.want(bars);
    this.showCut();
    this.phase.refresh();
  }

  /** Select a variation; the one on show is deselected, and the piece is shown without it. */
  select(index) {
    const { cards, phase, piece } = this;
    const { run, selected } = piece.version;
    if (!run?.variations[index]) return;
    piece.version.selected = index === selected && !piece.composition ? null : index;
    cards.select(piece.version.selected);
    this.show({ keepView: true });
    phase.refresh();
  }

  /** Silence tracks (a set of their places). */
  silence(places) {
    this.player.silence(places);
    this.roll.silent = places;
    this.roll.redrawAll();
  }

  /** Called when a run has begun: shows its first variation, and the bars around the cut. */
  begin(run) {
    const { cards, phase, piece, player, roll } = this;
    this.transport.endLoop();
    Object.assign(piece.version, { run, selected: 0 });
    cards.show(run.variations, { from: run.cut, to: run.end });
    cards.select(0);
    this.show({ keepView: true, from: player.playing ? null : this.#joinStart(run.cut) });
    const around = (run.end - run.cut) * 0.4;
    roll.viewFrom(Math.max(0, run.cut - around), run.until === null ? run.end * 1.02 : run.end + around);
    phase.enter("composing");
    $("cut-note").textContent = droppedBars(run);
  }

  /** Called when the variations of the run have grown. */
  grow() {
    const { cards, phase, piece, player, roll, tracks, transport } = this;
    roll.grow();
    phase.grow();
    tracks.show(piece.score);
    player.grow(piece.variation.frontier);
    cards.update();
    transport.show();
  }

  showCards(run) {
    for (const variation of run.variations) variation.why = whyOf(variation, run);
    const ends = run.variations.map(({ score }) => score.seconds);
    this.cards.show(run.variations, { from: run.cut, to: run.until ?? Math.max(...ends) });
  }

  showResult(run) {
    const text = $("result-text");
    if (!run?.finished) {
      text.replaceChildren();
      return;
    }
    const again = Object.assign(document.createElement("button"), { type: "button", textContent: `seed ${run.seed}` });
    again.title = "Use this seed again";
    again.addEventListener("click", () => this.onSeed(run.seed));
    const made = Object.assign(document.createElement("span"), { className: "unbroken" });
    made.append(again, ".");
    text.replaceChildren("Made with ", made, ` ${chosenFrom(run)} ${droppedBars(run)} ${losses(run)}`);
  }

  /** The position from which new music is played: two bars before it, so that the join is heard. */
  #joinStart(cut) {
    const before = this.piece.version.score.bars.filter((bar) => bar < cut - 0.05);
    return before.at(-2) ?? before.at(-1) ?? 0;
  }
}
