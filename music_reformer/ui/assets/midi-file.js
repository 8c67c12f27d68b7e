// Writes a MIDI file of one track, for a recording without a piece: the server opens it like any other file.

export const RESOLUTION = 480;  // ticks of a quarter
const DRUM_CHANNEL = 9;

/** `metre`: [beats, unit]; `notes`: {pitch, tick, ticks, velocity}. Returns a Uint8Array. */
export function midiFile({ tempo, metre: [beats, unit], program, drum, name, notes }) {
  const channel = drum ? DRUM_CHANNEL : 0;
  const microseconds = Math.round(60e6 / tempo);
  const opening = [
    meta(0x51, [microseconds >> 16, (microseconds >> 8) & 0xff, microseconds & 0xff]),
    meta(0x58, [beats, Math.log2(unit), 24, 8]),
    meta(0x03, [...new TextEncoder().encode(name)]),
    [0xc0 | channel, program],
  ].map((bytes) => ({ tick: 0, bytes }));
  const ends = notes.map(({ tick, ticks, pitch }) => ({ tick: tick + ticks, bytes: [0x80 | channel, pitch, 64] }));
  const begins = notes.map(({ tick, pitch, velocity }) => ({ tick, bytes: [0x90 | channel, pitch, velocity] }));
  const events = [...opening, ...[...ends, ...begins].sort((a, b) => a.tick - b.tick)];  // at one tick, ends come first
  let now = 0;
  const track = events.flatMap(({ tick, bytes }) => {
    const wait = tick - now;
    now = tick;
    return [...quantity(wait), ...bytes];
  });
  track.push(0, ...meta(0x2f, []));
  const header = [0x4d, 0x54, 0x68, 0x64, 0, 0, 0, 6, 0, 0, 0, 1, RESOLUTION >> 8, RESOLUTION & 0xff];
  return new Uint8Array([...header, 0x4d, 0x54, 0x72, 0x6b, ...long(track.length), ...track]);
}

const meta = (kind, bytes) => [0xff, kind, ...quantity(bytes.length), ...bytes];
const long = (number) => [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff);

/** A variable-length quantity: seven bits per byte, the highest first. */
function quantity(number) {
  const bytes = [number & 0x7f];
  for (let rest = number >> 7; rest > 0; rest >>= 7) bytes.unshift((rest & 0x7f) | 0x80);
  return bytes;
}
