// Notes and the grid in ticks, for editing: converting times, changing notes by gestures, describing notes in words. A
// `change` is {old, made}: a note of the score and what it becomes; null where one is added or removed.

const NAMES = ["C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B"];

/** The identity of a note: the same before and after the server has processed it. */
export const keyOf = ({ track, tick, ticks, pitch }) => `${track}/${tick}/${ticks}/${pitch}`;

/** Whether a score can be edited: one kept by an older version of the page lacks ticks. */
export const hasTicks = (score) => score.resolution > 0;

/** Interpolate `value` from one rising list to another of the same length; extrapolated beyond the last entry. */
function translate(value, from, to) {
  if (from.length < 2) return (to[0] ?? 0) + value - (from[0] ?? 0);
  let [low, high] = [0, from.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (from[middle] <= value) low = middle; else high = middle;
  }
  return to[low] + ((value - from[low]) * (to[high] - to[low])) / Math.max(from[high] - from[low], 1e-9);
}

export const secondsAt = (score, tick) => translate(tick, score.beatTicks, score.beats);
export const tickAt = (score, seconds) => Math.max(0, Math.round(translate(seconds, score.beats, score.beatTicks)));

/** The bar that a tick lies in: {number (from 1), tick, length}, carried on after the last one. */
export function barAt({ barTicks, resolution }, tick) {
  const last = barTicks.length - 1;
  const length = last > 0 ? barTicks[last] - barTicks[last - 1] : 4 * resolution;
  const place = barTicks.findLastIndex((line) => line <= tick);
  if (place < last) return { number: place + 1, tick: barTicks[place], length: barTicks[place + 1] - barTicks[place] };
  const past = Math.floor((tick - barTicks[last]) / length);
  return { number: last + past + 1, tick: barTicks[last] + past * length, length };
}

/** The grid line nearest to a tick or, with `down`, at or before it. The grid starts anew in every bar. */
export function snap(score, tick, step, { down = false } = {}) {
  const bar = barAt(score, tick);
  const steps = (tick - bar.tick) / step;
  return bar.tick + Math.min((down ? Math.floor(steps) : Math.round(steps)) * step, bar.length);
}

/** The bar and beat of a tick, such as "bar 12 beat 3" or "bar 12 beat 3.5". */
export function placeName(score, tick) {
  const bar = barAt(score, tick);
  const seconds = secondsAt(score, tick);
  const unit = score.metres.findLast(([begin]) => begin <= seconds + 1e-3)?.[2] ?? 4;
  const beat = 1 + (tick - bar.tick) / ((4 * score.resolution) / unit);
  return `bar ${bar.number} beat ${Number(beat.toFixed(2))}`;
}

export const pitchName = (pitch) => `${NAMES[pitch % 12]} ${Math.floor(pitch / 12) - 1}`;
/** A note as a screen reader says it, such as "C sharp 4, bar 12 beat 3". */
export const noteName = (score, note) => `${note.drum ? `Drum ${note.pitch}` : pitchName(note.pitch)}, ${placeName(score, note.tick)}`;

/** A note of a score; its seconds follow from its ticks. */
export function made(score, { track, tick, ticks, pitch, velocity }) {
  const [start, end] = [secondsAt(score, tick), secondsAt(score, tick + ticks)];
  return { pitch, start, end, velocity, isNew: false, drum: score.tracks[track].drum, track, tick, ticks };
}

const within = (value, low, high) => Math.min(Math.max(value, low), high);

/** The changes that move, transpose, lengthen and make louder some notes. None leaves the piece: all stop
 *  together at its beginning, and at the highest and lowest pitch. */
export function shifted(score, notes, { tick = 0, pitch = 0, ticks = 0, velocity = 0, shortest = 1 }) {
  const least = (name) => notes.reduce((low, note) => Math.min(low, note[name]), Infinity);
  const most = (name) => notes.reduce((high, note) => Math.max(high, note[name]), -Infinity);
  const later = Math.max(tick, -least("tick"));
  const up = within(pitch, -least("pitch"), 127 - most("pitch"));
  return notes.map((old) => ({
    old,
    made: made(score, {
      ...old, tick: old.tick + later, pitch: old.pitch + up,
      ticks: ticks ? Math.max(old.ticks + ticks, Math.min(old.ticks, shortest), 1) : Math.max(old.ticks, 1),
      velocity: velocity ? within(old.velocity + velocity, 1, 127) : old.velocity,
    }),
  }));
}

/** The changes that move the beginnings of notes to the grid. */
export function quantised(score, notes, step) {
  return notes.map((old) => ({ old, made: made(score, { ...old, ticks: Math.max(old.ticks, 1), tick: snap(score, old.tick, step) }) }));
}

const isSame = (old, note) => ["tick", "ticks", "pitch", "velocity"].every((name) => old[name] === note[name]);
/** Only the changes that have an effect. */
export const effective = (changes) => changes.filter(({ old, made: note }) => !old || !note || !isSame(old, note));

/** A score with changes applied. Its bar lines stay; the server adds bars as needed. */
export function changedScore(score, changes) {
  const gone = new Set(changes.map(({ old }) => old));
  const notes = score.notes.filter((note) => !gone.has(note));
  notes.push(...changes.flatMap(({ made: note }) => (note ? [note] : [])));
  notes.sort((a, b) => a.start - b.start);
  return { ...score, notes, seconds: notes.reduce((latest, note) => Math.max(latest, note.end), 0) };
}

/** Changes as an order to the server: {removed, added, changed}. */
export function orderOf({ tracks }, changes) {
  const row = ({ track, tick, ticks, pitch, velocity }) => [tracks[track].index, tick, ticks, pitch, velocity];
  return {
    removed: changes.filter(({ made: note }) => !note).map(({ old }) => row(old)),
    added: changes.filter(({ old }) => !old).map(({ made: note }) => row(note)),
    changed: changes.filter(({ old, made: note }) => old && note).map(({ old, made: note }) => [...row(old), ...row(note)]),
  };
}
