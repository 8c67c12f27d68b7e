// What the page tells its visitor: problems, progress, and news for screen readers.

import { Problem } from "./api.js";

const $ = (id) => document.getElementById(id);

/** Show a problem until it is dismissed. What went wrong on the page itself goes to the console, too. */
export function complain(error) {
  const isForVisitors = error instanceof Problem;
  if (!isForVisitors) console.error(error);
  const text = isForVisitors ? error.message : "Something went wrong on this page. Reload it and try again.";
  $("message").querySelector("p").textContent = /[.!?]$/.test(text) ? text : `${text}.`;
  $("message").hidden = false;
}

export function dismiss() { $("message").hidden = true; }

/** Tell screen readers. */
export function announce(text) { $("announcement").textContent = text; }

/** How far a composition is: `share` from 0 to 1, and words. */
export function showProgress(share, text) {
  const bar = $("progress").querySelector(".progress-bar");
  bar.setAttribute("aria-valuenow", Math.round(share * 100));
  bar.firstElementChild.style.width = `${share * 100}%`;
  $("progress-text").textContent = text;
}
