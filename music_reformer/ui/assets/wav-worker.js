// Worker that renders a score to a WAV file or (`asOgg`) an Ogg file. Receives {score, silent, channels,
// soundfont, asOgg}; posts {done: 0 to 1} as progress and {file: ArrayBuffer} at the end.

import { SoundBankLoader, SpessaSynthProcessor } from "./vendor/spessasynth_core.min.js";
import { MAX_CHANNELS } from "./channels.js";
import { RATE as OPUS_RATE, oggOf } from "./ogg-opus.js";
import { BEND } from "./score.js";

const WAV_RATE = 44100;
const BLOCK = 128;
const TAIL = 2.5;  // seconds for the last notes to die away
const HEADROOM = 0.9;

self.onmessage = async ({ data }) => {
  const samples = await render(data, data.asOgg ? OPUS_RATE : WAV_RATE);
  const file = data.asOgg ? await oggOf(samples) : new Blob([header(samples.byteLength), samples]);
  self.postMessage({ file: await file.arrayBuffer() });
};

/** 16-bit stereo, interleaved, at a rate. */
async function render({ score, silent, channels, soundfont }, rate) {
  const synth = new SpessaSynthProcessor(rate, { eventsEnabled: false });
  synth.soundBankManager.addSoundBank(SoundBankLoader.fromArrayBuffer(soundfont), "general-midi");
  await synth.processorInitialized;
  while (synth.midiChannels.length < MAX_CHANNELS) synth.createMIDIChannel();
  score.tracks.forEach((track, place) => synth.programChange(channels[place], track.program));
  const events = eventsOf(score, new Set(silent));
  const length = Math.ceil((score.seconds + TAIL) * rate);
  const samples = new Int16Array(length * 2);
  const [left, right] = [new Float32Array(BLOCK), new Float32Array(BLOCK)];
  let next = 0;
  for (let place = 0; place < length; place += BLOCK) {
    for (; next < events.length && events[next].time * rate <= place; next++) events[next].play(synth, channels);
    const count = Math.min(BLOCK, length - place);
    left.fill(0);
    right.fill(0);
    synth.process(left, right, 0, count);
    for (let index = 0; index < count; index++) {
      samples[2 * (place + index)] = toInteger(left[index]);
      samples[2 * (place + index) + 1] = toInteger(right[index]);
    }
    if (place % (BLOCK * 512) === 0) self.postMessage({ done: place / length });
  }
  return samples;
}

/** All events by time; at one time, notes end before controllers move, and controllers move before notes begin. */
function eventsOf({ notes, moves }, silent) {
  const events = [];
  for (const { pitch, start, end, velocity, track } of notes) {
    if (silent.has(track)) continue;
    events.push({ time: start, turn: 2, play: (synth, channels) => synth.noteOn(channels[track], pitch, velocity) });
    events.push({ time: end, turn: 0, play: (synth, channels) => synth.noteOff(channels[track], pitch) });
  }
  for (const { time, track, number, value } of moves) {
    const play = number === BEND ? (synth, channels) => synth.pitchWheel(channels[track], value + 8192)
      : (synth, channels) => synth.controllerChange(channels[track], number, value);
    events.push({ time, turn: 1, play });
  }
  return events.sort((a, b) => a.time - b.time || a.turn - b.turn);
}

const toInteger = (sample) => Math.max(-32768, Math.min(32767, Math.round(sample * HEADROOM * 32767)));

/** RIFF header of 16-bit stereo. */
function header(bytes) {
  const view = new DataView(new ArrayBuffer(44));
  const text = (place, letters) => [...letters].forEach((letter, index) => view.setUint8(place + index, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + bytes, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 2, true);
  view.setUint32(24, WAV_RATE, true); view.setUint32(28, WAV_RATE * 4, true); view.setUint16(32, 4, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, bytes, true);
  return view;
}
