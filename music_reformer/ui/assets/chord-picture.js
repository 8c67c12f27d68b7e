// How the chord lane looks: recognised chords in plain letters, and below them requested ones, as marks in the colour of new
// music as long as the chord. Names without room are left out.

import { colours, prepare } from "./draw.js";
import { onNotes } from "./roll-picture.js";

const HEARD = 20;  // height of the upper row
const INSET = 4;  // pixels from where a chord begins to its name

/** The stretches {from, to (seconds), name, leads (whether it begins with a bar)} of the chords of some bars; a chord that
 *  continues over a bar line is one stretch. */
function stretches(lanes, chords, first) {
  const found = [];
  chords.forEach((written, place) => {
    const [begin, end] = [lanes.secondOf(first + place), lanes.secondOf(first + place + 1)];
    const names = written ? written.split(" ") : [];
    names.forEach((name, index) => {
      const [from, to] = [index, index + 1].map((part) => begin + (part * (end - begin)) / names.length);
      const last = found.at(-1);
      if (last?.name === name && last.to > from - 1e-6) last.to = to;
      else found.push({ from, to, name, leads: index === 0 });
    });
  });
  return found;
}

/** The names of stretches that have room, `gap` pixels apart; those that begin a bar take precedence. A chord that began
 *  out of view is named at the edge. Returns [{stretch, label, at (pixels)}]. */
function labels(context, roll, found, gap) {
  const placed = [];
  for (const stretch of [...found.filter(({ leads }) => leads), ...found.filter(({ leads }) => !leads)]) {
    const label = stretch.name === "N" ? "N.C." : stretch.name;
    const [from, wide] = [roll.x(stretch.from), context.measureText(label).width];
    const at = Math.max(from, roll.keys) + INSET;
    const fits = from >= roll.keys - 1 || roll.x(stretch.to) - at > wide;
    if (fits && placed.every((other) => at > other.at + other.wide + gap || at + wide + gap < other.at)) placed.push({ stretch, label, at, wide });
  }
  return placed;
}

export function drawChords(lane) {
  const { lanes } = lane;
  const { roll } = lanes;
  const { context, width, height } = prepare(lane.canvas);
  const palette = colours();
  context.textBaseline = "middle";
  onNotes(roll, context, { width, height }, () => {
    drawSelection(lane, context, palette, height);
    drawHeard(lanes, context, palette);
    if (lanes.asked.bars) drawAsked(lanes, context, palette, height);
    drawCursor(lane, context, palette, height);
  });
  context.font = `${roll.keys > 40 ? 10 : 9}px ${lanes.font}`;
  context.fillStyle = palette.muted;
  context.fillText("chords", roll.keys > 40 ? 8 : 2, HEARD / 2 + 1);
  if (lanes.asked.bars) context.fillText("asked", roll.keys > 40 ? 8 : 2, (HEARD + height) / 2);
  context.fillStyle = palette.line;
  context.fillRect(roll.keys - 1, 0, 1, height);
}

function drawHeard({ asked, font, piece, roll, secondOf }, context, palette) {
  const { chords = [] } = piece.score;
  const [left, right] = [roll.left, roll.left + roll.visible];
  const begin = Math.max(piece.score.bars.findLastIndex((bar) => bar <= left), 0);
  const beyond = piece.score.bars.findIndex((bar) => bar > right);
  const gone = asked.bars && !piece.wantsSameBars ? { from: secondOf(asked.bars.first), to: roll.untilSeconds } : null;
  context.font = `12px ${font}`;
  const found = stretches({ secondOf }, chords.slice(begin, beyond < 0 ? undefined : beyond), begin);
  for (const { stretch: { from, name }, label, at } of labels(context, roll, found, 6)) {
    context.fillStyle = name === "N" ? palette.muted : palette.ink;
    context.globalAlpha = gone && from >= gone.from - 1e-6 && from < gone.to - 1e-6 ? 0.4 : 1;
    context.fillText(label, at, HEARD / 2 + 1);
  }
  context.globalAlpha = 1;
}

function drawAsked({ asked, font, isOpen, roll, secondOf }, context, palette, height) {
  const { first, count } = asked.bars;
  const [top, tall] = [HEARD + 1, height - HEARD - 4];
  const [from, to] = [roll.x(secondOf(first)), roll.x(secondOf(first + count))];
  context.fillStyle = palette["new-tint"];
  context.fillRect(from, top, to - from, tall);
  const wishes = stretches({ secondOf }, asked.chordsByBar(), first);
  for (const wish of wishes) {
    const [left, right] = [roll.x(wish.from) + 1, roll.x(wish.to) - 1];
    context.globalAlpha = 0.16;
    context.fillStyle = palette.new;
    context.beginPath();
    context.roundRect(left, top, Math.max(right - left, 1), tall, 4);
    context.fill();
  }
  context.globalAlpha = 1;
  context.font = `600 11px ${font}`;
  context.fillStyle = palette.ink;
  const inView = wishes.filter((wish) => roll.x(wish.to) > roll.keys && roll.x(wish.from) < roll.keys + roll.span);
  for (const { label, at } of labels(context, roll, inView, 2)) context.fillText(label, at, top + tall / 2 + 1);
  if (wishes.length) return;
  context.font = `12px ${font}`;
  context.fillStyle = palette.muted;
  const [at, invitation] = [Math.max(from, roll.keys) + 5, "Write chords here"];
  const label = context.measureText(invitation).width < to - at ? invitation : "+";
  if (context.measureText(label).width < to - at) context.fillText(label, at, top + tall / 2 + 1);
}

function drawSelection({ chosen, lanes }, context, palette, height) {
  if (!chosen) return;
  const [from, to] = [chosen.from, chosen.to + 1].map((bar) => lanes.roll.x(lanes.secondOf(bar)));
  context.globalAlpha = 0.25;
  context.fillStyle = palette.playhead;
  context.fillRect(from, 0, to - from, height);
  context.globalAlpha = 1;
}

/** The frame around the bar at the keyboard's position. */
function drawCursor({ bar, element, lanes }, context, palette, height) {
  if (!element.matches(":focus-visible")) return;
  const [from, to] = [bar, bar + 1].map((each) => lanes.roll.x(lanes.secondOf(each)));
  context.strokeStyle = palette.ink;
  context.lineWidth = 2;
  context.strokeRect(from + 1, 1, Math.max(to - from - 2, 2), height - 3);
}
