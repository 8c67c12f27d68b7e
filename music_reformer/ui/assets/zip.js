// Writes ZIP archives without compression, which would not make sound smaller.

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte >>> 0;
});
const UTF8 = 0x0800;  // names are UTF-8
const NEW_YEAR = 0x0021;  // 1980-01-01: the same music gives the same file

export function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 0xff] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

/** Little-endian numbers, each given as [bytes, value]. */
function packed(...numbers) {
  const view = new DataView(new ArrayBuffer(numbers.reduce((sum, [bytes]) => sum + bytes, 0)));
  let place = 0;
  for (const [bytes, value] of numbers) {
    if (bytes === 2) view.setUint16(place, value, true); else view.setUint32(place, value, true);
    place += bytes;
  }
  return view;
}

/** A blob of `files`: {name, crc, blob} each; below 4 GB together. */
export function zipOf(files) {
  const parts = [], directory = [];
  let offset = 0;
  for (const { name, crc, blob } of files) {
    const letters = new TextEncoder().encode(name);
    const about = [[2, 20], [2, UTF8], [2, 0], [2, 0], [2, NEW_YEAR], [4, crc], [4, blob.size], [4, blob.size], [2, letters.length], [2, 0]];
    parts.push(packed([4, 0x04034b50], ...about), letters, blob);
    directory.push(packed([4, 0x02014b50], [2, 20], ...about, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), letters);
    offset += 30 + letters.length + blob.size;
  }
  const size = directory.reduce((sum, part) => sum + part.byteLength, 0);
  const end = packed([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
