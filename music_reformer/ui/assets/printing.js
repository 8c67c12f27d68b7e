// Prints the engraved score alone, or saves it as a PDF, which browsers offer in the same place.

import { Engraved, drawn } from "./engraved.js";

const GUESS = 114;  // staff spaces of an A4 page, for few staves

/** Engrave all of a kept piece for paper, `title` above it, and open the browser's dialog; `onProgress(text)` tells how far it is. */
export async function printScore({ key, name, title }, onProgress) {
  onProgress("Engraving…");
  let engraved = new Engraved(key, GUESS);
  await engraved.more();
  if (engraved.printWidth !== GUESS) engraved = new Engraved(key, engraved.printWidth);
  while (!engraved.isWhole) {
    await engraved.more();
    onProgress(`Engraving… ${engraved.loaded} of ${engraved.bars} bars`);
  }
  const sheet = document.createElement("article");
  sheet.className = "sheet";
  const heading = Object.assign(document.createElement("h1"), { textContent: title });
  sheet.append(heading, ...engraved.systems.map(drawn));
  document.body.append(sheet);
  await document.fonts.ready;
  const before = document.title;
  document.title = name;  // the name of a PDF
  const end = () => { sheet.remove(); document.title = before; };
  addEventListener("afterprint", end, { once: true });
  onProgress("");
  print();
}
