// Links that restore a piece and its settings. They follow the # of the address, which browsers do not send to servers.

import { Settings } from "./settings.js";

/** The parameters in the page's current address. */
export const wordsOfAddress = () => new URLSearchParams(location.hash.slice(1));

/** Remove the link from the address, because something else is open now. */
export function clearLink() {
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
}

/** The link to what is on show: settings and seed of its run, or else the current settings; and its locked notes. */
export function linkTo(piece, settings, locks) {
  const { version } = piece;
  const run = version?.run;
  const order = run ? { ...run.order, seed: run.seed } : settings.read({ fromNothing: piece.isEmptyPiece });
  const wanted = !run && !piece.isEmptyPiece && version?.wanted;
  if (wanted) Object.assign(order, { cut_bar: wanted.cut, until_bar: wanted.until ?? -1, ...(wanted.tracks?.length && { tracks: wanted.tracks }) });
  if (version?.key) order.locked = locks.of(version);
  // An upload is named by its key: whoever has the link has the file, as long as the server keeps it.
  const source = version?.source || (version?.key ? `kept:${version.key}` : "");
  return `${location.origin}${location.pathname}#${Settings.toLink(order, source)}`;
}
