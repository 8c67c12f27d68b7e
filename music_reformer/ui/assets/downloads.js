// Downloads: files on the server, by address, or files made here.

const FETCHED = 60_000;  // milliseconds after which the browser has surely fetched it

export function download(address, name) {
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
}

export function downloadBlob(blob, name) {
  const address = URL.createObjectURL(blob);
  download(address, name);
  setTimeout(() => URL.revokeObjectURL(address), FETCHED);
}
