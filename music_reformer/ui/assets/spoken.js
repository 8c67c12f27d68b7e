// Descriptions for screen readers of the two pictures of a piece, the roll and the small one below it.

import { count } from "./draw.js";
import { pitchName } from "./notes.js";
import { firstFrom, wholeBars } from "./score.js";
import { barsFromTo } from "./wording.js";

const MOST_TRACKS = 6;  // tracks that are listed individually
const TOLERANCE = 1e-3;  // seconds

/** Describe a bar, by index: its chords, and what each track plays in it. */
export function barSpoken(score, bar) {
  const [from, to] = [score.bars[bar] ?? 0, score.bars[bar + 1] ?? score.seconds];
  const byTrack = new Map();
  for (let index = firstFrom(score.notes, from - TOLERANCE); index < score.notes.length && score.notes[index].start < to - TOLERANCE; index++) {
    const note = score.notes[index];
    byTrack.set(note.track, [...(byTrack.get(note.track) ?? []), note]);
  }
  const parts = [...byTrack].sort(([one], [other]) => one - other).map(([track, notes]) => `${score.tracks[track].name} ${notesSpoken(notes)}`);
  const chords = score.chords?.[bar] ? [`chords ${score.chords[bar]}`] : [];
  return [...chords, ...shortened(parts)].join("; ") || "no notes";
}

/** "3 notes, C 4 to G 4". */
function notesSpoken(notes) {
  if (notes[0].drum) return count(notes.length, "hit");
  const pitches = notes.map(({ pitch }) => pitch);
  const [low, high] = [Math.min(...pitches), Math.max(...pitches)];
  return `${count(notes.length, "note")}, ${pitchName(low)}${high > low ? ` to ${pitchName(high)}` : ""}`;
}

const shortened = (parts) => (
  parts.length > MOST_TRACKS ? [...parts.slice(0, MOST_TRACKS), `${parts.length - MOST_TRACKS} more tracks`] : parts
);

/** Describe the whole piece: its tracks, its new bars, and the bars in view, from `left` on for so many seconds. */
export function pieceSpoken({ score, left, visible }) {
  const bars = wholeBars(score);
  if (!bars) return "The whole piece: no notes yet";
  const counts = score.tracks.map(() => 0);
  for (const note of score.notes) counts[note.track] += 1;
  const tracks = score.tracks.map(({ name }, place) => `${name} ${count(counts[place], "note")}`);
  const barAt = (seconds) => Math.min(Math.max(score.bars.findLastIndex((line) => line <= seconds + TOLERANCE), 0), bars - 1);
  const span = (from, to) => barsFromTo(barAt(from), barAt(to - 2 * TOLERANCE) + 1);
  const fresh = score.cut === null ? [] : [`new music in ${span(score.cut, score.until ?? score.seconds)}`];
  return [`The whole piece: ${count(bars, "bar")}`, ...shortened(tracks), ...fresh, `${span(left, Math.min(left + visible, score.seconds))} in view`].join("; ");
}
