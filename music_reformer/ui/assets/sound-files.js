// Sound files of a score, rendered in a worker: all tracks together, or each by itself.

import { crc32, zipOf } from "./zip.js";

const FORBIDDEN = /[\\/:*?"<>|\p{Cc}]+/gu;  // characters that some system forbids in file names

/** A copy of a score that can be sent to a worker. */
const plain = ({ tracks, notes, moves, seconds }) => ({ tracks, notes, moves, seconds });

async function soundfont() {
  const response = await fetch("soundfont");
  if (!response.ok) throw new Error("the soundfont could not be fetched");
  return response.arrayBuffer();
}

/** The bytes of a file of a score without its `silent` tracks, WAV or Ogg; `onProgress(share)`. */
function render({ score, silent, channels, font, asOgg = false }, onProgress) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./wav-worker.js", import.meta.url), { type: "module" });
    worker.onerror = () => { worker.terminate(); reject(new Error("the sound could not be rendered")); };
    worker.onmessage = ({ data }) => {
      if (data.done !== undefined) onProgress(data.done);
      if (data.file) { worker.terminate(); resolve(data.file); }
    };
    worker.postMessage({ score: plain(score), silent: [...silent], channels, soundfont: font, asOgg });
  });
}

export async function wavOf({ score, silent, channels }, onProgress) {
  const wav = await render({ score, silent, channels, font: await soundfont() }, onProgress);
  return new Blob([wav], { type: "audio/wav" });
}

export async function oggFileOf({ score, silent, channels }, onProgress) {
  const ogg = await render({ score, silent, channels, font: await soundfont(), asOgg: true }, onProgress);
  return new Blob([ogg], { type: "audio/ogg" });
}

/** Places of the audible tracks. */
export const heardTracks = ({ score, silent }) => [...new Set(score.notes.map(({ track }) => track))].sort((a, b) => a - b).filter((place) => !silent.has(place));

/** A ZIP with a WAV file for each audible track, all of equal length: played together, they are the piece. */
export async function stemsOf({ score, silent, channels }, onProgress) {
  const font = await soundfont();
  const heard = heardTracks({ score, silent });
  const files = [];
  for (const [number, place] of heard.entries()) {
    const others = score.tracks.map((_, other) => other).filter((other) => other !== place);
    const wav = await render({ score, silent: others, channels, font }, (share) => onProgress((number + share) / heard.length));
    const name = score.tracks[place].name.replace(FORBIDDEN, " ").trim() || "track";
    files.push({ name: `${String(number + 1).padStart(2, "0")} ${name}.wav`, crc: crc32(new Uint8Array(wav)), blob: new Blob([wav]) });
  }
  return zipOf(files);
}
