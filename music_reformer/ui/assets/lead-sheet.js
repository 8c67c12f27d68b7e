// Chords by bar, as typed: "Am7 | D7 G/B | %". `midi/lead_sheet.py` decides what is valid; here
// a sheet is only split, so that single bars can be shown and changed.

const IN_BRACKETS = /\[([^[\]]+)\]/g;
const trim = (text) => text.replace(/^[ |]+|[ |]+$/g, "");

/** The bars of a sheet: {bars, repeatFrom}; "" is an open bar, `repeatFrom` the bar that follows the last one, or null. */
function read(text) {
  const named = text.includes("|") ? [] : [...text.matchAll(IN_BRACKETS)];
  if (named.length) return { bars: named.map(([, chord]) => chord.trim()), repeatFrom: null };
  const bars = [];
  const open = text.indexOf("|:");
  const close = text.indexOf(":|", open + 2);
  if (open < 0 || close < 0) {
    readBars(text, bars);
    return { bars, repeatFrom: null };
  }
  readBars(text.slice(0, open), bars);
  const repeatFrom = bars.length;
  readBars(text.slice(open + 2, close), bars);
  return { bars, repeatFrom };
}

function readBars(text, bars) {
  if (!trim(text)) return;
  for (const written of trim(text).split("|")) {
    const chords = written.trim().split(/\s+/).join(" ");
    bars.push(chords === "%" ? bars.at(-1) ?? "" : chords === "?" ? "" : chords);
  }
}

/** The chords of each of the first `count` bars of a sheet; "" where a bar is open. */
export function barsOf(text, count) {
  const { bars, repeatFrom } = read(text);
  const place = (bar) => (bar < bars.length || repeatFrom === null ? bar : repeatFrom + ((bar - repeatFrom) % (bars.length - repeatFrom)));
  return Array.from({ length: count }, (_, bar) => bars[place(bar)] ?? "");
}

/** Bars as a sheet, without open bars at the end. */
export function sheetOf(bars) {
  const length = bars.findLastIndex(Boolean) + 1;
  return bars.slice(0, length).map((bar, place) => (!bar ? "?" : bar === bars[place - 1] ? "%" : bar)).join(" | ");
}

/** A sheet with `typed` in place of its bars from `at` on; repeats are written out to `count` bars.
 *  Returns {sheet, next}: the bar after the typed ones. */
export function withTyped(text, at, typed, count) {
  const bars = barsOf(text, Math.max(count, read(text).bars.length, at));
  // Preceded by the bar before, so that "%" can refer to it.
  const behind = read(`${bars[at - 1] || "?"} | ${typed}`);
  const length = behind.repeatFrom === null ? Math.max(behind.bars.length - 1, 1) : count - at;
  const made = barsOf(`${bars[at - 1] || "?"} | ${typed}`, length + 1).slice(1);
  bars.splice(at, made.length, ...made);
  return { sheet: sheetOf(bars), next: at + made.length };
}

/** The chords of a bar as screen readers should say them: "B flat minor 7 over D, E flat 7". */
export function spoken(chords) {
  if (chords === "N") return "no chord";
  const names = chords.split(" ");
  return names.filter((name, place) => name !== names[place - 1]).map((chord) => chord
    .replace(/([A-G])#/g, "$1 sharp").replace(/([A-G])b/g, "$1 flat").replace("/", " over ")
    .replace(/maj/, " major ").replace(/(?<![a-z])m(?=[\d\s]|$)/, " minor ").replace(/b(?=\d)/, " flat ").trim().replace(/ +/g, " ")).join(", ");
}
