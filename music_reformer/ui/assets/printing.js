// Prints the engraved score alone, or saves it as a PDF, which browsers offer in the print dialog.

import { Engraved, drawn } from "./engraved.js";

const GUESS = 114;  // staff spaces across an A4 page with few staves

/** Engrave a whole kept piece for paper under `title`, and open the print dialog; `onProgress(text)` reports progress. */
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
  document.title = name;  // becomes the file name of a PDF
  const end = () => { sheet.remove(); document.title = before; };
  addEventListener("afterprint", end, { once: true });
  onProgress("");
  print();
}
