// Lets the site work without a network after this visit, and its next version take over.

export const APP = new URL(".", import.meta.url).pathname.split("/").at(-2); // app-HASH
const FILES = "agegenderemo " + new URL("../", import.meta.url).href + " files"; // as in sw.js

const underWay = []; // files that are being kept

function newerOne(registration, worker) {
  const ask = () => {
    // Only its own page may hurry it: an old one would lose its files.
    if (worker.state === "installed" && registration.active) {
      worker.postMessage({ type: "activate", app: APP });
    }
  };
  worker.addEventListener("statechange", ask);
  ask();
}

// Lays a file with a hash in its name, as it is when it is whole and unpacked, where the service worker
// looks for it: so it is not fetched twice. From the page or a worker of it.
export function keepFile(address, bytes) {
  const kept = async () => {
    const files = await caches.open(FILES);
    if (!(await files.match(address))) await files.put(address, new Response(bytes));
  };
  underWay.push(kept().catch(() => {})); // no caches here, or no room: the page itself needs none
}

// What lies there of an address, or null.
export async function keptFile(address) {
  try {
    const kept = await (await caches.open(FILES)).match(address);
    return kept ? await kept.arrayBuffer() : null;
  } catch {
    return null;
  }
}

// Once all that `keepFile` was given lies there.
export const filesKept = () => Promise.all(underWay);

// Register the service worker; resolves to true once everything is kept, false where that cannot be.
// Call it when the page has loaded its files, and has kept them.
export async function keepForOffline() {
  try {
    if (!navigator.serviceWorker) return false;
    const registration = await navigator.serviceWorker.register("./sw.js", { updateViaCache: "none" });
    for (const worker of [registration.waiting, registration.installing]) {
      if (worker) newerOne(registration, worker);
    }
    registration.addEventListener("updatefound", () => newerOne(registration, registration.installing));
    await navigator.serviceWorker.ready;
    return true;
  } catch {
    return false; // a private window, or a frame that may keep nothing
  }
}
