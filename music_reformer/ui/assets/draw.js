// Drawing that the roll, the overview and the variations' small pictures share.

/** The page's colours as they are now (light or dark). */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "muted", "panel", "line", "old", "new", "row", "row-black", "bar", "beat", "new-tint",
    "key-white", "key-black", "playhead"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
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

/** Notes of a server's piano roll as one list by start time: {pitch, start, end, velocity, isNew, drum}. */
export function notesOf(roll) {
  const notes = roll.tracks.flatMap((track) => track.notes.map(([pitch, start, end, velocity, isNew]) => ({
    pitch, start, end, velocity, isNew: Boolean(isNew), drum: track.drum,
  })));
  return notes.sort((a, b) => a.start - b.start);
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

/** The notes from `from` to `to` seconds, small, filling the canvas; drums along the bottom. */
export function drawSmall(canvas, notes, { from, to, range = pitchRange(notes, 1) }) {
  const { context, width, height } = prepare(canvas);
  const palette = colours();
  const scale = width / Math.max(to - from, 1e-6);
  const [low, high] = range;
  const top = 4, tall = height - 8;
  const step = tall / (high - low + 1);
  for (const note of notes) {
    if (note.end < from || note.start > to) continue;
    context.fillStyle = note.isNew ? palette.new : palette.old;
    context.globalAlpha = note.drum ? 0.35 : 0.85;
    const y = note.drum ? height - 4 : top + (high - note.pitch) * step;
    context.fillRect((note.start - from) * scale, y, Math.max((note.end - note.start) * scale, 1), note.drum ? 2 : Math.max(step, 1.5));
  }
  context.globalAlpha = 1;
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
