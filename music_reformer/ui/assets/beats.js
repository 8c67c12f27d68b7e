// The beats of a score for metronome and MIDI clock, by its metres and tempo map, extrapolated beyond its last bar.

const TOLERANCE = 1e-3;
const PER_QUARTER = 24;  // MIDI clocks
const known = new WeakMap();  // cache of `barsOf`, by the score's list of bars

const metreAt = ({ metres }, seconds) => metres.findLast(([begin]) => begin <= seconds + TOLERANCE) ?? [0, 4, 4];
const tempoAt = ({ tempos }, seconds) => (tempos.findLast(([begin]) => begin <= seconds + TOLERANCE) ?? tempos[0])?.[1] ?? 120;
/** Units of the metre per beat: three in 6/8, 9/8 and 12/8. */
const unitsOfBeat = ([, beats, unit]) => (unit >= 8 && beats > 3 && beats % 3 === 0 ? 3 : 1);

/** The bars of a score, at least one: {start, length, size (by its metre), clicks: seconds from its start to its beats}. */
function barsOf(score) {
  if (known.has(score.bars)) return known.get(score.bars);
  const { bars, beats } = score;
  const found = [];
  let next = 0;
  for (let place = 0; place + 1 < bars.length; place++) {
    const [start, end] = [bars[place], bars[place + 1]];
    const units = [];
    while (next < beats.length && beats[next] < start - TOLERANCE) next++;
    while (next < beats.length && beats[next] < end - TOLERANCE) units.push(beats[next++] - start);
    const metre = metreAt(score, start);
    const step = unitsOfBeat(metre);
    const clicks = units.filter((_, unit) => unit % step === 0);
    found.push({ start, length: end - start, size: metre[1] / metre[2], clicks: clicks.length ? clicks : [0] });
  }
  if (!found.length) found.push(barAlone(score, bars[0] ?? 0));
  known.set(score.bars, found);
  return found;
}

function barAlone(score, start) {
  const metre = metreAt(score, start);
  const [, beats, unit] = metre;
  const seconds = ((60 / tempoAt(score, start)) * 4) / unit;
  const step = unitsOfBeat(metre);
  return { start, length: beats * seconds, size: beats / unit, clicks: Array.from({ length: beats / step }, (_, beat) => beat * step * seconds) };
}

/** The bar at `seconds`, which may be after the end of the piece. */
function barAt(score, seconds) {
  const bars = barsOf(score);
  const last = bars.at(-1);
  if (seconds < last.start + last.length - TOLERANCE) return bars.findLast(({ start }) => start <= seconds + TOLERANCE) ?? bars[0];
  const past = Math.floor((seconds - last.start + TOLERANCE) / last.length);
  return { ...last, start: last.start + past * last.length };
}

/** Beats of one bar, repeated, from `from` to before `until`. */
function repeated({ start, length, clicks }, from, until) {
  const found = [];
  for (let bar = start + Math.floor((from - start) / length) * length; bar < until; bar += length) {
    clicks.forEach((click, beat) => found.push({ time: bar + click, isFirst: beat === 0 }));
  }
  return found.filter(({ time }) => time >= from - 1e-9 && time < until - 1e-9);
}

/** The beats from `from` to before `until`: {time (seconds), isFirst (whether it begins a bar)}. */
export function beatsBetween(score, from, until) {
  const found = [];
  for (let bar = barAt(score, from); bar.start < until; bar = barAt(score, bar.start + bar.length + 2 * TOLERANCE)) {
    for (const [beat, click] of bar.clicks.entries()) {
      const time = bar.start + click;
      if (time >= from && time < until) found.push({ time, isFirst: beat === 0 });
    }
  }
  return found;
}

/** The count-in bar before `position`: {seconds, beats}. Before a pickup, it is like the bar after the pickup. */
export function countIn(score, position) {
  const bars = barsOf(score);
  const here = barAt(score, position);
  const isPickup = here === bars[0] && bars.length > 1 && here.size < bars[1].size;
  const bar = isPickup ? bars[1] : here;
  return { seconds: bar.length, beats: repeated(bar, position - bar.length, position) };
}

/** Quarters from the beginning of the piece to `seconds`. */
export function quartersAt({ tempos }, seconds) {
  return stretches(tempos).reduce((sum, { begin, end, perSecond }) => sum + Math.max(Math.min(seconds, end) - begin, 0) * perSecond, 0);
}

/** Seconds from the beginning of the piece at which so many quarters have passed. */
export function secondsOfQuarters({ tempos }, quarters) {
  let left = quarters;
  for (const { begin, end, perSecond } of stretches(tempos)) {
    const here = (end - begin) * perSecond;
    if (left <= here) return begin + left / perSecond;
    left -= here;
  }
  return 0;
}

const stretches = (tempos) => (tempos.length ? tempos : [[0, 120]]).map(([begin, perMinute], place) => (
  { begin: place ? begin : 0, end: tempos[place + 1]?.[0] ?? Infinity, perSecond: perMinute / 60 }
));

/** Ticks of the MIDI clock, 24 per quarter, from `from` to before `until`: {number, time}. */
export function clocksBetween(score, from, until) {
  const found = [];
  for (let number = Math.ceil(quartersAt(score, from) * PER_QUARTER - 1e-6); ; number++) {
    const time = secondsOfQuarters(score, number / PER_QUARTER);
    if (time >= until) return found;
    found.push({ number, time });
  }
}
