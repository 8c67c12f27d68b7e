// Drawing that the roll, the overview and the variations' small pictures share.

// Number of track colours in style.css, --track-0, --track-1 ...; further tracks start over.
export const NUM_COLOURS = 8;
const NAMES = ["ink", "muted", "panel", "line", "new", "row", "row-black", "bar", "beat", "new-tint", "cut-veil",
  "key-white", "key-black", "playhead"];

/** The page's colours as they are now (light or dark); `tracks` lists those of the tracks. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(`--${name}`).trim();
  const tracks = Array.from({ length: NUM_COLOURS }, (_, index) => value(`track-${index}`));
  return { ...Object.fromEntries(NAMES.map((name) => [name, value(name)])), tracks };
}

/** Size a canvas to its box in device pixels; returns its context, scaled to CSS pixels, with width and height. */
export function prepare(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Lowest and highest pitch to show: those of the melodic notes, at least two octaves. */
export function pitchRange(notes, margin = 2) {
  let low = 127, high = 0;
  for (const note of notes) {
    if (note.drum) continue;
    if (note.pitch < low) low = note.pitch;
    if (note.pitch > high) high = note.pitch;
  }
  if (low > high) [low, high] = [55, 79];
  const lacking = Math.max(0, 24 - (high - low));
  low -= margin + Math.ceil(lacking / 2);
  high += margin + Math.floor(lacking / 2);
  return [Math.max(0, low), Math.min(127, high)];
}

/** The notes from `from` to `to` seconds, small, filling the canvas; drums along the bottom; tinted from `cut` to `until`. */
export function drawSmall(canvas, notes, { from, to, range = pitchRange(notes, 1), cut = null, until = null, silent = new Set() }) {
  const { context, width, height } = prepare(canvas);
  const palette = colours();
  const scale = width / Math.max(to - from, 1e-6);
  const [low, high] = range;
  const top = 4, tall = height - 8;
  const step = tall / (high - low + 1);
  if (cut !== null) {
    context.fillStyle = palette["new-tint"];
    context.fillRect((cut - from) * scale, 0, until === null ? width : (until - cut) * scale, height);
  }
  for (const note of notes) {
    if (note.end < from || note.start > to) continue;
    context.fillStyle = palette.tracks[note.track % NUM_COLOURS];
    context.globalAlpha = silent.has(note.track) ? 0.12 : note.drum ? 0.45 : 0.9;
    const y = note.drum ? height - 4 : top + (high - note.pitch) * step;
    context.fillRect((note.start - from) * scale, y, Math.max((note.end - note.start) * scale, 1), note.drum ? 2 : Math.max(step, 1.5));
  }
  context.globalAlpha = 1;
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export const duration = (seconds) => (seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`);

/** "1 bar", "2 bars". */
export const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
