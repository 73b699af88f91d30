// Files of the site, with how far they are: large ones come as gzip, whatever the host says of them.

import { keepFile, keptFile } from "./offline.js";

const GZIP = [0x1f, 0x8b];

async function body(address, told, cache) {
  let response;
  try {
    response = await fetch(address, { cache });
  } catch {
    throw new Error("The networks cannot be loaded: there is no connection. Try again when there is one.");
  }
  if (!response.ok) {
    throw new Error("The networks cannot be loaded: the site answers " + response.status + " for a file of theirs.");
  }
  const parts = [];
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return new Blob(parts);
      parts.push(value);
      told(value.length);
    }
  } catch {
    throw new Error("The connection broke while the networks were loaded. Reload the page to go on.");
  }
}

async function unpacked(blob) {
  // Some hosts unpack a .gz on its way, browsers do it where they are told to, and the service worker
  // keeps it so.
  const first = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  if (first[0] !== GZIP[0] || first[1] !== GZIP[1]) return blob.arrayBuffer();
  return new Response(blob.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function isWhole(bytes, file) {
  if (bytes.byteLength !== file.bytes) return false;
  if (!globalThis.crypto?.subtle) return true; // on plain http
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((b) => b.toString(16).padStart(2, "0")).join("") === file.sha256;
}

const packs = () => Boolean(globalThis.DecompressionStream);

// Bytes on the wire of a file of site.json.
export const size = (file) => (file.gzip && packs() ? file.gzip_bytes : file.bytes);

// The content of a file of site.json as an ArrayBuffer; `told` gets the number of each few bytes that
// arrive. With `keep` it is laid where a service worker and the next visit find it. Throws an error
// with a sentence for people.
export async function load(site, file, told, keep = false) {
  const packed = file.gzip && packs();
  const address = new URL(packed ? file.gzip : file.path, site);
  const kept = keep ? await keptFile(address.href) : null;
  if (kept && (await isWhole(kept, file))) {
    told(size(file));
    return kept;
  }
  // What lies damaged in the browser's cache is there the next time too: then it is asked for anew.
  for (const cache of ["default", "reload"]) {
    let count = 0;
    const counted = (more) => {
      count += more;
      told(more);
    };
    const blob = await body(address, counted, cache);
    const bytes = await (packed ? unpacked(blob) : blob.arrayBuffer()).catch(() => new ArrayBuffer(0));
    if (await isWhole(bytes, file)) {
      if (keep) keepFile(address.href, bytes);
      return bytes;
    }
    told(-count);
  }
  throw new Error("The networks arrived damaged. Reload the page to load them again.");
}
