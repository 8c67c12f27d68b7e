// Going from version to version: a kept variation becomes the piece, and the visitor can go back to any earlier version.

import { openKept } from "./api.js";
import { announce, complain } from "./messages.js";
import { spanOf } from "./open-piece.js";
import { scoreOf } from "./score.js";
import { versionLabel } from "./wording.js";

export class Keeping {
  constructor({ piece, desk, player, composing }) {
    Object.assign(this, { piece, desk, player, composing });
  }

  /** Make a variation the piece. Resolves to whether it worked. */
  async keep(index) {
    const { piece } = this;
    const former = piece.version;
    const chosen = former.run?.variations[index];
    if (!chosen?.key) return false;
    former.selected = index;
    const { wanted } = former.run;
    piece.isKeeping = true;
    try {
      const opened = await openKept(chosen.key);
      if (piece.version !== former) return false;
      this.#grow(former, opened, wanted);
      announce("Kept");
      return true;
    } catch (error) {
      complain(error);
      return false;
    } finally {
      piece.isKeeping = false;
    }
  }

  #grow(former, opened, wanted) {
    const { run } = former;
    const score = scoreOf(opened.roll);
    const kept = this.piece.versions.grow({
      key: opened.key, name: former.key ? former.name : "New piece", file: opened.name, label: versionLabel(run, { former, kept: score }),
      source: "", score, selected: null, span: spanOf(run),
    });
    if (wanted && (wanted.cut > run.cutBar || wanted.until !== null)) kept.wanted = wanted;
    delete run.wanted;
    this.desk.arrive({ from: this.player.time });
  }

  /** Show another version, as it was left. */
  go(version) {
    this.composing.forget();
    this.piece.versions.go(version);
    this.desk.arrive({ from: Math.min(this.player.time, version.score.seconds) });
  }
}
