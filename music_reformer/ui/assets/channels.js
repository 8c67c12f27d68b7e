// Tracks on MIDI channels, and the two controllers that the visitor has a hand in: volume and pan.

const DRUM_CHANNEL = 9;
const BANK = 0;
export const MAX_CHANNELS = 64;
export const VOLUME = 7, PAN = 10;
// What General MIDI has a channel begin with.
export const USUAL = { [VOLUME]: 100, [PAN]: 64 };
export const NEUTRAL = { volume: 1, pan: 0 };  // how a visitor's volume multiplies, and how their pan adds, -64 to 63

/** The channel of every track: drums on every tenth of sixteen, as in General MIDI. More tracks begin again. */
export function channelsOf(tracks, most = MAX_CHANNELS) {
  let [melodic, drums] = [0, 0];
  return tracks.map(({ drum }) => {
    if (drum) return (drums++ % (most / 16)) * 16 + DRUM_CHANNEL;
    const [sixteen, place] = [Math.floor(melodic / 15), melodic++ % 15];
    return ((sixteen * 16) % most) + place + (place >= DRUM_CHANNEL ? 1 : 0);
  });
}

const within = (value) => Math.min(Math.max(Math.round(value), 0), 127);

/** A move of a track as the visitor wants to hear it. */
export function mixed(move, { volume, pan } = NEUTRAL) {
  if (move.number === VOLUME) return { ...move, value: within(move.value * volume) };
  if (move.number === PAN) return { ...move, value: within(move.value + pan) };
  return move;
}

/** The moves with which a track begins that the visitor has made louder, softer or moved to a side; else none. */
export function openingMoves(track, { volume, pan } = NEUTRAL) {
  const numbers = [...(volume === 1 ? [] : [VOLUME]), ...(pan === 0 ? [] : [PAN])];
  return numbers.map((number) => mixed({ time: 0, track, number, value: USUAL[number] }, { volume, pan }));
}

/** What has been set on each track before `seconds`: its moves, the last of each number, the bank first. */
export function settingsAt(moves, seconds) {
  const last = new Map();
  for (const move of moves) {
    if (move.time >= seconds) break;
    const key = `${move.track}/${move.number}`;
    last.delete(key);  // so that the order is that of the last changes
    last.set(key, move);
  }
  return [...last.values()].sort((a, b) => (a.number === BANK ? 0 : 1) - (b.number === BANK ? 0 : 1));
}

/** What a controller of a track stands at before `seconds`, without the visitor's hand. */
export const valueAt = (moves, track, number, seconds) => (
  moves.findLast((move) => move.time < seconds && move.track === track && move.number === number)?.value ?? USUAL[number]
);
