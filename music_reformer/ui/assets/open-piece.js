// The state of what is open: the versions of the piece, the variation on show, and the bars that the visitor wants
// composed. A version is {key, name, label, source, score}; its `notices` name the faults that were repaired in its file,
// `ownBars` is the key of the file as it came (if its bars here were found in the music), its `run` is what was last
// composed from it, `selected` the variation on show (null: the version itself), `wanted` the bars {cut, until} between
// which new music is wanted (until null: to the end), in the `tracks` with these indices (none: in all instruments that
// play). A run was asked for its own, `cutBar`, `untilBar` and `tracks`.

import { EMPTY, wholeBars } from "./score.js";

/** The place of the new notes of a run: see `span`. */
export const spanOf = ({ cutTick, untilTick, missing, missingTracks }) => ({ since: cutTick, until: untilTick, programs: missing, tracks: missingTracks });

export class OpenPiece {
  composition = null;  // in progress
  draft = null;  // {version, score}: a version with edits that the server has not written yet
  isEditing = false;  // notes are being edited by hand
  isKeeping = false;  // a variation is about to become the piece

  constructor({ versions, canInfill }) {
    Object.assign(this, { versions, canInfill });
  }

  get version() { return this.versions.current; }
  get variation() { return this.version?.run?.variations[this.version.selected] ?? null; }
  /** The score on show. */
  get score() { return this.isSaving ? this.draft.score : this.variation?.score ?? this.version?.score ?? EMPTY; }
  /** Which notes on show are new, as for an export: {since, until, programs, tracks}; null: none. Those of
   *  a kept variation still count as new. */
  get span() { return this.variation ? (this.variation.key ? spanOf(this.version.run) : null) : this.version?.span ?? null; }
  /** Whether edits of the version on show are on their way to the server. */
  get isSaving() { return this.draft !== null && this.draft.version === this.version; }
  get numBars() { return wholeBars(this.score); }
  get numBarsOfVersion() { return wholeBars(this.version.score); }
  /** Whether the open piece is empty, without a file yet. */
  get isEmptyPiece() { return this.version !== null && !this.version.key; }

  /** The wanted bars, within what is on show. */
  get wanted() {
    const { variation, version } = this;
    const here = variation ? version.run : version;
    const first = variation
      ? { cut: here.cutBar, until: here.untilBar, tracks: here.tracks ?? [] } : { cut: wholeBars(here.score), until: null };
    return { tracks: [], ...(here.wanted ?? first) };
  }

  /** The time {from, to} in seconds of the new music on show, once its run is complete; null if there is none. */
  get newMusic() {
    const run = this.variation?.key ? this.version.run : null;
    return run && { from: run.cut, to: run.until ?? this.variation.score.seconds };
  }

  want({ cut, until, tracks = [] }) {
    if (this.composition) return;
    const end = this.numBars;
    cut = Math.min(cut, end);
    if (until !== null) until = Math.max(until, cut + 1);
    // In some tracks, bars up to the end are recomposed beside the others; in all tracks, the piece is continued.
    if (!this.canInfill || (until >= end && !tracks.length)) until = null;
    (this.variation ? this.version.run : this.version).wanted = { cut, until, tracks: until === null ? [] : tracks };
  }

  /** Whether the wanted bars are those for which the variation on show was composed. */
  get wantsSameBars() {
    const { cut, until, tracks } = this.wanted;
    const run = this.variation && this.version.run;
    return run !== null && cut === run.cutBar && until === run.untilBar && `${tracks}` === `${run.tracks ?? []}`;
  }

  /** Whether the wanted bars are in the variation on show, which must be kept before they can be composed. */
  get mustKeepFirst() {
    const { cut, until } = this.wanted;
    return this.variation !== null && (cut > this.version.run.cutBar || (until !== null && !this.wantsSameBars));
  }
}
