// Sends edits to the server. Each gesture is shown at once, sent as an order of its own, and becomes a version: so
// undo and redo step through the tree gesture by gesture, although it draws a run of edits as one pill (see versions.js).

import { editNotes } from "./api.js";
import { complain } from "./messages.js";
import { changedScore, orderOf } from "./notes.js";
import { scoreOf } from "./score.js";

export class EditSaving {
  #queue = [];  // changes not yet sent
  #sending = null;

  constructor({ piece, desk }) {
    Object.assign(this, { piece, desk });
  }

  /** Resolves when the server has all edits. */
  async settled() { await this.#sending; }

  /** Show changes of the version on show, and send them to the server. */
  make(changes) {
    const { desk, piece } = this;
    piece.draft = { version: piece.version, score: changedScore(piece.score, changes) };
    this.#queue.push(changes);
    desk.show({ keepView: true });
    desk.phase.refresh();
    this.#sending ??= this.#send().finally(() => { this.#sending = null; });
  }

  async #send() {
    const { desk, piece } = this;
    let { version } = piece;
    try {
      while (this.#queue.length) {
        const { key, name: file, roll } = await editNotes(version.key, orderOf(version.score, this.#queue.shift()));
        if (piece.version !== version) break;  // the visitor has opened something else
        version = this.#grow(version, { key, file, score: scoreOf(roll) });
      }
    } catch (error) {
      if (piece.version === version) complain(error);
    }
    this.#queue = [];
    piece.draft = null;
    if (piece.version === version) desk.arrive({ keepView: true });
  }

  #grow(former, { key, file, score }) {
    const { piece } = this;
    piece.versions.grow({ key, name: former.name, file, label: "Edited", source: "", score, selected: null, byHand: true, wanted: former.wanted });
    piece.draft.version = piece.version;
    return piece.version;
  }
}
