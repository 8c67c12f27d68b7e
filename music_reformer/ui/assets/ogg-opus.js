// Encodes sound as Opus, by the browser's own encoder, and wraps it as an Ogg file (RFC 3533, RFC 7845).

export const RATE = 48000;  // of Opus
const CONFIG = { codec: "opus", sampleRate: RATE, numberOfChannels: 2, bitrate: 128_000 };
const PRE_SKIP = 312;  // samples that the encoder looks ahead, skipped by players
const SERIAL = 1;
const PACKETS = 40;  // per page: it has room for 255 segments, or 42 of the largest packets
const FRAMES = 9600;  // samples passed to the encoder at a time
const QUEUE = 16;  // number of such chunks that may wait for the encoder
const FIRST = 2, LAST = 4;  // header types of pages

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte << 24;
  for (let bit = 0; bit < 8; bit++) sum = sum & 0x80000000 ? (sum << 1) ^ 0x04c11db7 : sum << 1;
  return sum >>> 0;
});

/** Whether this browser can encode Opus. */
export async function canEncode() {
  return "AudioEncoder" in globalThis && (await AudioEncoder.isConfigSupported(CONFIG).catch(() => ({}))).supported === true;
}

/** `samples`: 16-bit stereo, interleaved, at `RATE`; resolves to a blob. */
export async function oggOf(samples) {
  const packets = [];  // {bytes, end (in samples)}
  let failure = null, end = 0;
  const encoder = new AudioEncoder({
    output(chunk) {
      const bytes = new Uint8Array(chunk.byteLength);
      chunk.copyTo(bytes);
      end += Math.round((chunk.duration * RATE) / 1e6);
      packets.push({ bytes, end });
    },
    error(error) { failure = error; },
  });
  encoder.configure(CONFIG);
  const length = samples.length / 2;
  for (let place = 0; place < length && !failure; place += FRAMES) {
    const count = Math.min(FRAMES, length - place);
    const data = new AudioData({
      format: "s16", sampleRate: RATE, numberOfFrames: count, numberOfChannels: 2, timestamp: Math.round((place * 1e6) / RATE),
      data: samples.subarray(2 * place, 2 * (place + count)),
    });
    encoder.encode(data);
    data.close();
    while (encoder.encodeQueueSize > QUEUE && !failure) await new Promise((resolve) => { setTimeout(resolve); });
  }
  if (!failure) await encoder.flush();
  if (failure) throw failure;
  return wrapped(packets, length);
}

function wrapped(packets, length) {
  const pages = [page([head()], { kind: FIRST, granule: 0, number: 0 }), page([tags()], { granule: 0, number: 1 })];
  for (let begin = 0; begin < packets.length; begin += PACKETS) {
    const group = packets.slice(begin, begin + PACKETS);
    const isLast = begin + PACKETS >= packets.length;
    // The last page states the length, so that the encoder's padding of its last packet is not heard.
    const granule = isLast ? Math.min(PRE_SKIP + length, group.at(-1).end) : group.at(-1).end;
    pages.push(page(group.map(({ bytes }) => bytes), { kind: isLast ? LAST : 0, granule, number: pages.length }));
  }
  return new Blob(pages, { type: "audio/ogg" });
}

function head() {
  const view = new DataView(new ArrayBuffer(19));
  new Uint8Array(view.buffer).set(new TextEncoder().encode("OpusHead"));
  view.setUint8(8, 1);
  view.setUint8(9, 2);
  view.setUint16(10, PRE_SKIP, true);
  view.setUint32(12, RATE, true);
  return new Uint8Array(view.buffer);
}

function tags() {
  const vendor = new TextEncoder().encode("Music Reformer");
  const bytes = new Uint8Array(16 + vendor.length);
  bytes.set(new TextEncoder().encode("OpusTags"));
  new DataView(bytes.buffer).setUint32(8, vendor.length, true);
  bytes.set(vendor, 12);
  return bytes;
}

/** A page of complete packets; `granule` is the end of the last one in samples. */
function page(packets, { kind = 0, granule, number }) {
  const lacing = packets.flatMap(({ length }) => [...Array(Math.floor(length / 255)).fill(255), length % 255]);
  const start = 27 + lacing.length;
  const bytes = new Uint8Array(start + packets.reduce((sum, { length }) => sum + length, 0));
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode("OggS"));
  view.setUint8(5, kind);
  view.setBigInt64(6, BigInt(granule), true);
  view.setUint32(14, SERIAL, true);
  view.setUint32(18, number, true);
  view.setUint8(26, lacing.length);
  bytes.set(lacing, 27);
  let place = start;
  for (const packet of packets) { bytes.set(packet, place); place += packet.length; }
  view.setUint32(22, bytes.reduce((sum, byte) => ((sum << 8) ^ TABLE[(sum >>> 24) ^ byte]) >>> 0, 0), true);
  return bytes;
}
