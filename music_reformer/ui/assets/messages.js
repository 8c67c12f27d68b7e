// Messages to the visitor: problems, progress, and announcements for screen readers.

import { Problem } from "./api.js";

const $ = (id) => document.getElementById(id);

/** Show a problem until it is dismissed. Errors of the page itself are also logged to the console. */
export function complain(error) {
  const isForVisitors = error instanceof Problem;
  if (!isForVisitors) console.error(error);
  const text = isForVisitors ? error.message : "Something went wrong on this page. Reload it and try again.";
  $("message").querySelector("p").textContent = /[.!?]$/.test(text) ? text : `${text}.`;
  $("message").hidden = false;
}

export function dismiss() { $("message").hidden = true; }

/** Announce a text to screen readers. */
export function announce(text) { $("announcement").textContent = text; }

/** Show the progress of a composition: `share` from 0 to 1, and a text. */
export function showProgress(share, text) {
  const bar = $("progress").querySelector(".progress-bar");
  bar.setAttribute("aria-valuenow", Math.round(share * 100));
  bar.firstElementChild.style.width = `${share * 100}%`;
  $("progress-text").textContent = text;
}
