// The tracks' MIDI channels, and the two controllers that the visitor can adjust: volume and pan.

const DRUM_CHANNEL = 9;
const BANK = 0;
export const MAX_CHANNELS = 64;
export const VOLUME = 7, PAN = 10;
// Initial values of a channel in General MIDI.
export const USUAL = { [VOLUME]: 100, [PAN]: 64 };
export const NEUTRAL = { volume: 1, pan: 0 };  // the visitor's volume is a factor, their pan an offset of -64 to 63

/** The channel of every track: drums on channel 10 of each 16, as in General MIDI; then channels are reused. */
export function channelsOf(tracks, most = MAX_CHANNELS) {
  let [melodic, drums] = [0, 0];
  return tracks.map(({ drum }) => {
    if (drum) return (drums++ % (most / 16)) * 16 + DRUM_CHANNEL;
    const [sixteen, place] = [Math.floor(melodic / 15), melodic++ % 15];
    return ((sixteen * 16) % most) + place + (place >= DRUM_CHANNEL ? 1 : 0);
  });
}

const within = (value) => Math.min(Math.max(Math.round(value), 0), 127);

/** A controller move of a track, adjusted by the visitor's volume and pan. */
export function mixed(move, { volume, pan } = NEUTRAL) {
  if (move.number === VOLUME) return { ...move, value: within(move.value * volume) };
  if (move.number === PAN) return { ...move, value: within(move.value + pan) };
  return move;
}

/** The initial moves of a track whose volume or pan the visitor has changed; none otherwise. */
export function openingMoves(track, { volume, pan } = NEUTRAL) {
  const numbers = [...(volume === 1 ? [] : [VOLUME]), ...(pan === 0 ? [] : [PAN])];
  return numbers.map((number) => mixed({ time: 0, track, number, value: USUAL[number] }, { volume, pan }));
}

/** The state of each track before `seconds`: the last move of each controller, the bank first. */
export function settingsAt(moves, seconds) {
  const last = new Map();
  for (const move of moves) {
    if (move.time >= seconds) break;
    const key = `${move.track}/${move.number}`;
    last.delete(key);  // keeps the order of the last changes
    last.set(key, move);
  }
  return [...last.values()].sort((a, b) => (a.number === BANK ? 0 : 1) - (b.number === BANK ? 0 : 1));
}

/** The value of a track's controller before `seconds`, without the visitor's adjustment. */
export const valueAt = (moves, track, number, seconds) => (
  moves.findLast((move) => move.time < seconds && move.track === track && move.number === number)?.value ?? USUAL[number]
);
