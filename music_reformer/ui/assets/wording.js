// The page's texts that depend on what is open: on buttons, handles and finished runs.

import { clock, count } from "./draw.js";
import { wholeBars } from "./score.js";

/** "bar 5", "bars 5 to 8": bars from index `from` up to `to`. */
export const barsFromTo = (from, to) => (from + 1 === to ? `bar ${to}` : `bars ${from + 1} to ${to}`);

/** The names of the tracks with these indices. */
export const namesOf = (score, tracks) => score.tracks.filter(({ index }) => tracks.includes(index)).map(({ name }) => name);

/** Length, metre and tempo of a piece. */
export function facts({ tempos, metres, seconds, ...score }) {
  const tempo = `${Math.round(tempos[0]?.[1] ?? 120)} bpm`;
  return [count(wholeBars(score), "bar"), clock(seconds), mainMetre(metres, seconds), tempo].join(" · ");
}

/** The metre that lasts longest, such as "4/4": a pickup is written as a bar of 1/4. */
function mainMetre(metres, seconds) {
  const lasting = new Map();
  metres.forEach(([begin, beats, unit], index) => {
    const name = `${beats}/${unit}`;
    lasting.set(name, (lasting.get(name) ?? 0) + (metres[index + 1]?.[0] ?? seconds) - begin);
  });
  return [...lasting].reduce((longest, each) => (each[1] > longest[1] ? each : longest))[0];
}

/** The faults repaired in a version's file, as a sentence; "" if there were none. */
export function repairs({ notices = [] }) {
  return notices.length ? `Opened with small repairs: ${notices.join("; ")}.` : "";
}

/** The text of the large button. */
export function composeButton(piece) {
  const { cut, until } = piece.wanted;
  if (piece.wantsSameBars) return "Try again";
  if (piece.isEmptyPiece && !piece.variation) return "Compose";
  if (until !== null) return `Recompose ${barsFromTo(cut, until)}`;
  return cut >= piece.numBars ? "Continue" : `Continue from bar ${cut + 1}`;
}

/** The texts of the handles: {label, untilLabel}. */
export function handleLabels(piece) {
  const { cut, until } = piece.wanted;
  return { label: cutLabel(piece, cut, until), untilLabel: until === null || until >= piece.numBars ? "to the end" : `Keep from bar ${until + 1}` };
}

function cutLabel(piece, cut, until) {
  if (piece.wantsSameBars) return cut === 0 || until !== null ? "New" : `New from bar ${cut + 1}`;
  if (cut >= piece.numBars) return "Continue here";
  return until === null ? `Continue from bar ${cut + 1}` : "Recompose";
}

/** What becomes of the bars after the cut. */
export function cutNote(piece) {
  const { cut, until, tracks } = piece.wanted;
  if (tracks.length) {
    const names = namesOf(piece.score, tracks);
    return `Only ${names.join(" and ")} ${names.length === 1 ? "is" : "are"} composed anew; everything else stays as it is.`;
  }
  if (until !== null) {
    return "The bars before and after stay as they are and guide the new music. Instruments that are not selected keep their notes.";
  }
  const advice = piece.canInfill ? " Move the second handle to keep later bars." : "";
  return `The new music replaces ${barsFromTo(cut, piece.numBars)}.${advice}`;
}

/** The label of a version kept from a run. */
export function versionLabel(run, { former, kept }) {
  const bars = Math.max(wholeBars(kept) - run.cutBar, 0);
  if (run.cutBar < wholeBars(former.score)) return `Bars ${run.cutBar + 1}-${run.untilBar ?? run.cutBar + bars}`;
  return former.key ? `+ ${count(bars, "bar")}` : "Composed";
}

/** Nothing is truncated silently: which bars of a very long piece the model did not read. */
export function droppedBars({ dropped, until }) {
  if (!dropped) return "";
  const which = until === null ? `the first ${count(dropped, "bar")}` : `${count(dropped, "bar")} far from the new music`;
  return `The piece is longer than the model can read: it does not see ${which}.`;
}

const SHORTEST_HEARD = 11;  // fewest notes of a passage that the server looks up in the training music
const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Why a variation has its rank, such as "Closest to the piece. Keeps the key; Drums rest in bar 14."; "" if unknown. */
export function whyOf({ rank, reasons = [] }, { variations }) {
  if (!reasons.length) return "";
  const isRanked = variations.filter((each) => each.rank).length > 1;
  const place = isRanked && rank === 1 ? "Closest to the piece. " : "";
  return `${place}${upper(reasons.join("; "))}.`;
}

/** How original a variation is: the longest passages that it shares with the piece and with the training music, compared
 *  with people's own continuations. */
export function originality({ longest }, { people = {} }) {
  if (!longest) return "";
  const than = (usual) => (usual === undefined ? "" : ` (in people's own continuations: ${usual})`);
  const own = longest.inPiece ? `${count(longest.inPiece, "note")}` : "none";
  const inPiece = `Longest passage shared with the piece: ${own}${than(people.piece)}.`;
  if (longest.inTraining === null) return inPiece;
  const heard = (notes) => (notes ? `${Math.round(notes)} at most` : `fewer than ${SHORTEST_HEARD}`);
  const usual = people.training === undefined ? undefined : heard(people.training);
  return `${inPiece} With the music that the model has learnt from: ${heard(longest.inTraining)}${than(usual)}.`;
}

/** How many variations were composed, if only the best of them are shown. */
export function chosenFrom({ composed, variations }) {
  const left = variations.filter(({ joined }) => !joined).length;
  return composed > left ? `The ${count(left, "variation")} closest to the piece, of ${composed}.` : "";
}

/** Nothing is lost silently: files that could not be spliced are written anew, with their music only. */
export function losses({ variations }) {
  return variations.some(({ lossy }) => lossy)
    ? "The original file could not be copied event for event: its text and system exclusive messages are missing from the new files."
    : "";
}
