// The music as the page represents it. A `score` has tracks {index (in the file), name, program, drum}; notes by start, {pitch,
// start, end, velocity, isNew, drum, track (its place among the tracks), and, once the server has read it, tick and ticks (its
// length)}; moves by time, {time, track, number, value} (controllers; number -1 is the pitch bend); bars and beats in seconds;
// tempos; metres; seconds (its length); cut (where new music begins, or null) and until (where the piece goes on after it, or
// null); and, as recognised by the server, chords (for each bar, such as "G G D7", or "" if unknown) and sections {first (bar),
// count (of bars), letter}. Scores are immutable, except `Live`, which grows.

// A note less than this before the cut begins at the cut: its time was rounded.
const TOLERANCE = 1e-3;
export const BEND = -1;

export const EMPTY = {
  tracks: [], notes: [], moves: [], bars: [0], beats: [], tempos: [], metres: [[0, 4, 4]], seconds: 0, cut: null, until: null,
  chords: [], sections: [],
};

const byStart = (a, b) => a.start - b.start;
const byTime = (a, b) => a.time - b.time;
const heading = ({ index, name, program, drum }) => ({ index, name, program, drum });

/** A piano roll from the server as a score. */
export function scoreOf(roll) {
  const { notes, moves } = eventsOf(roll, (_, place) => place);
  return {
    tracks: roll.tracks.map(heading), notes, moves, bars: roll.bars, beats: roll.beats, tempos: roll.tempos,
    metres: roll.metres, seconds: roll.seconds, cut: null, until: null,
    chords: roll.outline?.chords ?? [], sections: (roll.outline?.sections ?? []).map(([first, count, letter]) => ({ first, count, letter })),
    barTicks: roll.bar_ticks, beatTicks: roll.beat_ticks, resolution: roll.resolution,
  };
}

function eventsOf(roll, placeOf) {
  const notes = [], moves = [];
  roll.tracks.forEach((track, index) => {
    const place = placeOf(track, index);
    track.notes.forEach(([pitch, start, end, velocity, isNew], at) => {
      const [tick, ticks] = track.ticks?.[at] ?? [];
      notes.push({ pitch, start, end, velocity, isNew: Boolean(isNew), drum: track.drum, track: place, tick, ticks });
    });
    for (const [time, number, value] of track.controls) moves.push({ time, track: place, number, value });
    for (const [time, value] of track.bends) moves.push({ time, track: place, number: BEND, value });
  });
  return { notes: notes.sort(byStart), moves: moves.sort(byTime) };
}

/** The part of a score before `cut`; notes that sound across the cut keep their length. */
function before(score, cut) {
  const early = (seconds) => seconds < cut - TOLERANCE;
  const notes = score.notes.filter((note) => early(note.start));
  const bars = score.bars.filter(early);
  return {
    ...score, notes, moves: score.moves.filter((move) => early(move.time)), cut, until: null,
    ...outlineOf(score, (bar) => bar < bars.length),
    bars: [...bars, cut], beats: [...score.beats.filter(early), cut],
    seconds: notes.reduce((latest, note) => Math.max(latest, note.end), 0),
  };
}

/** Whether a note was composed by a run: in its bars, on its tracks, and not locked. */
function isOfRun(note, score, { cut, until = null, missing, missingTracks = [], order }) {
  const { index, program } = score.tracks[note.track];
  const isLocked = () => order?.locked?.some((locked) => `${locked}` === `${[index, note.tick, note.pitch]}`) ?? false;
  const isInside = note.start >= cut - TOLERANCE && (until === null || note.start < until - TOLERANCE);
  const isMeant = (!missingTracks.length || missingTracks.includes(index)) && (!missing.length || missing.includes(note.drum ? -1 : program));
  return isInside && isMeant && !isLocked();
}

/** A whole piece from the server, with the notes that a run composed marked as new. */
export function markedNew(score, run) {
  const notes = score.notes.map((note) => ({ ...note, isNew: isOfRun(note, score, run) }));
  return { ...score, notes, cut: run.cut, until: run.until ?? null };
}

/** The part of a score before and after a hole, and what is played in the hole by others than the `missing` programs (of these, the
 *  tracks with these indices; none: all), and the notes that the order has locked. */
function around(score, run) {
  const { cut, until } = run;
  const inside = ({ start }) => start >= cut - TOLERANCE && start < until - TOLERANCE;
  const notes = score.notes.filter((note) => !isOfRun(note, score, run));
  const { chords } = outlineOf(score, (bar) => !inside({ start: score.bars[bar] }));
  return { ...score, notes, cut, until, chords };
}

/** The chords of the bars that `stay`, and the sections that begin in them. */
function outlineOf({ chords = [], sections = [] }, stays) {
  return { chords: chords.map((chord, bar) => (stays(bar) ? chord : "")), sections: sections.filter(({ first }) => stays(first)) };
}

/** The part of a score that a run leaves unchanged. */
const kept = (score, run) => ((run.until ?? null) === null ? before(score, run.cut) : around(score, run));

/** Place of the track with this index in the file, or -1. */
const placeOf = (tracks, index) => tracks.findIndex((track) => track.index === index);

/** Place of a track that a score does not have yet: after the `known` ones, new tracks in file order. */
function placeForNew(tracks, known, index) {
  const later = tracks.findIndex((track, place) => place >= known && track.index > index);
  return later < 0 ? tracks.length : later;
}

/** The part of a score that a run leaves unchanged, plus what the server composed (`roll` has only that). */
export function continued(score, run, roll) {
  const base = kept(score, run);
  const tracks = [...base.tracks];
  const { notes, moves } = eventsOf(roll, (track) => {
    const place = placeOf(tracks, track.index);
    return place < 0 ? tracks.push(heading(track)) - 1 : place;
  });
  const chords = [...base.chords];
  roll.outline.chords.forEach((chord, place) => { chords[roll.outline.first_bar + place] = chord; });
  const all = { ...base, tracks, chords, notes: [...base.notes, ...notes].sort(byStart) };
  if (all.until !== null) return all;
  const merge = (early, late) => [...early.filter((seconds) => seconds < run.cut - TOLERANCE), ...late];
  return {
    ...all, moves: [...base.moves, ...moves].sort(byTime),
    bars: merge(score.bars, roll.bars), beats: merge(score.beats, roll.beats), metres: roll.metres,
    seconds: Math.max(base.seconds, roll.seconds),
  };
}

/** A variation while it is composed: the unchanged part of the score, and the new notes so far. */
export class Live {
  #known;  // number of tracks of the piece

  constructor(score, run) {
    const base = kept(score, run);
    Object.assign(this, base, { tracks: [...base.tracks], notes: [...base.notes], seconds: Math.max(run.end, base.seconds) });
    this.#known = base.tracks.length;
  }

  /** Add a note of the server's progress report, on the track that the server names; returns it as the score holds it. */
  add([, program, drum, pitch, start, end, velocity, index], instruments) {
    let place = placeOf(this.tracks, index);
    if (place < 0) place = this.#insert({ index, name: drum ? "Drums" : instruments[program], program, drum });
    const note = { pitch, start, end, velocity, isNew: true, drum, track: place };
    let at = this.notes.length;
    while (at > 0 && this.notes[at - 1].start > start) at--;
    this.notes.splice(at, 0, note);
    this.seconds = Math.max(this.seconds, end);
    return note;
  }

  /** Add a track. Tracks after it have only new notes, whose places are shifted with them. */
  #insert(track) {
    const place = placeForNew(this.tracks, this.#known, track.index);
    this.tracks.splice(place, 0, track);
    for (const note of this.notes) if (note.track >= place) note.track++;
    return place;
  }
}

/** Index of the first of `events` whose `name` is `seconds` or later. */
export function firstFrom(events, seconds, name = "start") {
  let [low, high] = [0, events.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle][name] < seconds) low = middle + 1; else high = middle;
  }
  return low;
}

/** Number of bars kept by default: through the bar in which the last note begins. */
export function wholeBars(score) {
  if (!score.notes.length) return 0;
  const last = score.notes.at(-1).start;
  const line = score.bars.findIndex((bar) => bar > last + TOLERANCE);
  return line < 0 ? score.bars.length - 1 : line;
}

/** Programs that play (-1: drums), in track order. */
export const programsOf = (score) => [...new Set(score.tracks.map((track) => (track.drum ? -1 : track.program)))];
