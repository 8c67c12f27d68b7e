// The typed form of the new bars: "5-12 | new 8 | A'". A part is {text, from, to, varied} (bars of the piece that
// return; counted from 1, both included) or {text, fresh} (number of bars of something new). `midi/form_plan.py` decides
// what is valid.

/** The parts of a form, up to the first invalid one; letters refer to `sections` {first, count, letter}. */
export function partsOf(text, sections) {
  const parts = [];
  for (const written of text.replace(/^[ |]+|[ |]+$/g, "").split("|")) {
    const part = read(written.trim().replace(/\s+/g, " "), sections);
    if (!part) break;
    parts.push(part);
  }
  return parts;
}

function read(text, sections) {
  const [, number, first, last = first, letter, varied] = /^(?:new (\d+)|(?:(\d+)(?:-(\d+))?|([A-Z]{1,2}))('?))$/.exec(text) ?? [];
  if (number) return Number(number) >= 1 ? { text, fresh: Number(number) } : null;
  if (letter) {
    const found = sections.find((section) => section.letter === letter);
    return found ? { text, from: found.first + 1, to: found.first + found.count, varied: varied === "'" } : null;
  }
  const [from, to] = [Number(first), Number(last)];
  return from >= 1 && to >= from ? { text, from, to, varied: varied === "'" } : null;
}

export const againPart = (from, to, varied) => ({ text: `${from === to ? from : `${from}-${to}`}${varied ? "'" : ""}`, from, to, varied });
export const freshPart = (fresh) => ({ text: `new ${fresh}`, fresh });
export const formOf = (parts) => parts.map(({ text }) => text).join(" | ");
export const barsIn = ({ from, to, fresh }) => fresh ?? to - from + 1;
