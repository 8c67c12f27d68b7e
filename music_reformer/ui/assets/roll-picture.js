// How the roll looks: rows, bars and beats, notes in the colours of their tracks, keys, playhead; and the small picture
// of the whole piece below it. New music is tinted, its notes in stronger colours than the old ones.

import { NUM_COLOURS, colours, drawSmall, prepare } from "./draw.js";
import { firstFrom } from "./score.js";

export const RULER = 26;
const DRUM_ROW = 8;
const DRUMS_MOST = 0.3;  // share of the height for all drums together
const LABEL = 11;  // height in pixels of the name of a key
const BLACK = new Set([1, 3, 6, 8, 10]);

/** Layout of rows in a roll of this size: `y(pitch)` is the upper edge of a row, `drumY(pitch)` that of a drum's. */
export function frameOf(roll, width, height) {
  const numDrums = roll.drums.length;
  const drumRow = Math.min(DRUM_ROW, (height * DRUMS_MOST) / Math.max(numDrums, 1));
  const drumsTall = numDrums * drumRow + (numDrums ? drumRow : 0);
  const [low, high] = roll.range;
  const floor = height - drumsTall;
  const row = (floor - RULER) / (high - low + 1);
  return {
    width, height, low, high, floor, drumsTall, drumRow, row,
    y: (pitch) => RULER + (high - pitch) * row, drumY: (pitch) => floor + drumRow * (roll.drums.indexOf(pitch) + 0.75),
  };
}

/** The rectangle of a note on the roll. */
export function boxOf(roll, note, frame) {
  const x = roll.x(note.start);
  const wide = Math.max((note.end - note.start) * roll.zoom - 1, 2);
  return note.drum
    ? { x, y: frame.drumY(note.pitch), wide: Math.min(wide, 5), tall: frame.drumRow * 0.63 }
    : { x, y: frame.y(note.pitch), wide, tall: frame.row };
}

/** Clip drawing to the area of the notes: not on the piano keys, and not above `top`. */
export function onNotes(roll, context, { width, height }, draw, top = 0) {
  context.save();
  context.beginPath();
  context.rect(roll.keys, top, width, height);
  context.clip();
  draw();
  context.restore();
}

export function drawNotes(roll) {
  const { context, width, height } = prepare(roll.canvas);
  const palette = colours();
  const frame = frameOf(roll, width, height);
  const { low, high, row } = frame;

  context.fillStyle = palette.row;
  context.fillRect(0, 0, width, height);
  context.fillStyle = palette["row-black"];
  for (let pitch = low; pitch <= high; pitch++) {
    if (BLACK.has(pitch % 12)) context.fillRect(roll.keys, frame.y(pitch), width, row);
  }
  const { cut, until } = roll.score;
  if (cut !== null) {
    const from = Math.max(roll.x(cut), roll.keys);
    context.fillStyle = palette["new-tint"];
    context.fillRect(from, 0, Math.max((until === null ? width : roll.x(until)) - from, 0), height);
  }
  drawGrid(roll, context, palette, frame);
  onNotes(roll, context, frame, () => drawEach(roll, context, palette, frame));
  context.globalAlpha = 1;
  if (roll.veil) {
    const at = Math.max(roll.x(roll.cutSeconds), roll.keys);
    context.fillStyle = palette["cut-veil"];
    context.fillRect(at, RULER, Math.max(roll.x(roll.untilSeconds) - at, 0), height);
  }
  drawKeys(roll, context, palette, frame);
}

function drawEach(roll, context, palette, { row, y, drumRow, drumY }) {
  const { notes } = roll.score;
  const until = roll.left + roll.visible;
  const tall = Math.max(row - 1, 2);
  for (let index = firstFrom(notes, roll.left - roll.longest); index < notes.length && notes[index].start <= until; index++) {
    const note = notes[index];
    context.fillStyle = palette.tracks[note.track % NUM_COLOURS];
    const strength = Math.min(note.velocity / 110, 1);
    context.globalAlpha = roll.silent.has(note.track) ? 0.12 : note.isNew ? 0.6 + 0.4 * strength : 0.4 + 0.45 * strength;
    const wide = Math.max((note.end - note.start) * roll.zoom - 1, 2);
    if (note.drum) {
      context.fillRect(roll.x(note.start), drumY(note.pitch), Math.min(wide, 5), drumRow * 0.63);
    } else if (wide < 7 || tall < 5) {
      // With a whole symphony in view there are tens of thousands of notes, too small for rounded corners to show.
      context.fillRect(roll.x(note.start), y(note.pitch) + (row - tall) / 2, wide, tall);
    } else {
      context.beginPath();
      context.roundRect(roll.x(note.start), y(note.pitch) + (row - tall) / 2, wide, tall, Math.min(tall / 3, 3));
      context.fill();
    }
  }
}

function drawGrid(roll, context, palette, { width, height, floor, drumsTall }) {
  const bars = roll.barLines();
  const { beats } = roll.score;
  const beatApart = beats.length > 1 ? (beats[1] - beats[0]) * roll.zoom : 0;
  const vertical = (seconds, colour, top) => {
    const at = Math.round(roll.x(seconds));
    if (at < roll.keys || at > width) return;
    context.fillStyle = colour;
    context.fillRect(at, top, 1, height - top);
  };
  if (beatApart > 9) for (const beat of beats) vertical(beat, palette.beat, RULER);
  const barApart = bars.length > 1 ? ((bars.at(-1) - bars[0]) / (bars.length - 1)) * roll.zoom : width;
  // Number every 1, 2, 4, 8 ... bars, so that numbers never touch; draw lines at least 12 pixels apart.
  const labelEvery = 2 ** Math.max(0, Math.ceil(Math.log2(34 / barApart)));
  const ruleEvery = 2 ** Math.max(0, Math.ceil(Math.log2(12 / barApart)));
  context.font = "11px " + getComputedStyle(roll.element).fontFamily;
  context.textBaseline = "middle";
  bars.forEach((bar, index) => {
    if (index % ruleEvery === 0) vertical(bar, palette.bar, index % labelEvery === 0 ? 6 : RULER);
    if (index % labelEvery !== 0 || roll.x(bar) < roll.keys - 1) return;
    const label = String(index + 1), left = roll.x(bar) + 5;
    if (left + context.measureText(label).width > width) return;
    context.fillStyle = palette.muted;
    context.fillText(label, left, RULER / 2 + 1);
  });
  context.fillStyle = palette.line;
  context.fillRect(0, RULER, width, 1);
  if (drumsTall) context.fillRect(0, Math.round(floor), width, 1);
}

function drawKeys(roll, context, palette, { low, high, y, row, floor, height }) {
  const { keys } = roll;
  context.fillStyle = palette.row;
  context.fillRect(0, 0, keys, height);
  context.fillStyle = palette["key-white"];
  context.fillRect(0, RULER + 1, keys - 1, floor - RULER - 1);
  const black = keys * (keys > 40 ? 0.58 : 0.5);
  for (let pitch = low; pitch <= high; pitch++) {
    if (BLACK.has(pitch % 12)) {
      context.fillStyle = palette["key-black"];
      context.fillRect(0, y(pitch), black, Math.max(row - 0.5, 1));
    }
    // White keys meet under the middle of a black one, or, below C and F, at the row's own edge.
    context.fillStyle = "rgba(120, 120, 120, .35)";
    if (BLACK.has(pitch % 12)) context.fillRect(black, y(pitch) + row / 2, keys - black - 1, 1);
    else if (pitch % 12 === 0 || pitch % 12 === 5) context.fillRect(0, y(pitch) + row, keys - 1, 1);
    if (pitch % 12 === 0 && row * 12 >= LABEL) {
      context.fillStyle = "#55585f";
      context.font = `${keys > 40 ? 10 : 9}px sans-serif`;
      context.textBaseline = "middle";
      context.fillText(`C${pitch / 12 - 1}`, black + 2, y(pitch) + row / 2);
    }
  }
  if (floor < height) {
    context.fillStyle = palette.muted;
    context.font = "10px sans-serif";
    context.textBaseline = "middle";
    context.fillText("drums", keys > 40 ? 8 : 3, (floor + height) / 2 + 1);
  }
  context.fillStyle = palette.line;
  context.fillRect(keys - 1, 0, 1, height);
  context.fillRect(0, RULER, keys, 1);
}

export function drawOver(roll) {
  const { context, width, height } = prepare(roll.over);
  for (const layer of [roll.locks, roll.hand, roll.marks]) layer?.draw(context, frameOf(roll, width, height), colours());
  const at = roll.x(roll.playhead);
  if (at < roll.keys - 1) return;
  context.fillStyle = colours().playhead;
  context.fillRect(at - 0.75, 0, 1.5, height);
  context.beginPath();
  context.moveTo(at - 6, 0); context.lineTo(at + 6, 0); context.lineTo(at, 9);
  context.fill();
}

export function drawOverview(roll) {
  drawSmall(roll.overview, roll.score.notes, { from: 0, to: roll.whole, range: roll.range, cut: roll.score.cut, until: roll.score.until, silent: roll.silent });
}

/** Draw the section in view, and the playhead, on the small picture of the whole piece. */
export function drawOverviewOver(roll) {
  const { context, width, height } = prepare(roll.overviewOver);
  const palette = colours();
  const scale = width / roll.whole;
  if (roll.visible < roll.seconds * 0.99) {
    const [left, right] = [roll.left * scale, (roll.left + roll.visible) * scale];
    context.fillStyle = palette.panel;
    context.globalAlpha = 0.6;
    context.fillRect(0, 0, left, height);
    context.fillRect(right, 0, width - right, height);
    context.globalAlpha = 1;
    context.strokeStyle = palette.muted;
    context.strokeRect(left + 0.5, 0.5, Math.min(right, width) - left - 1, height - 1);
  }
  context.fillStyle = palette.playhead;
  context.fillRect(roll.playhead * scale, 0, 1.5, height);
}
