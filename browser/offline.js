// Lets the site work without a network after this visit, and its next version take over.

const APP = new URL(".", import.meta.url).pathname.split("/").at(-2); // app-HASH
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

// fetch for a file with a hash in its name, from the page or a worker of it. On a first visit what
// arrives is kept for the service worker too, which checks it: so it is not fetched twice.
export async function fetchFile(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) return answer;
  try {
    const files = await caches.open(FILES);
    if (!(await files.match(answer.url))) underWay.push(files.put(answer.url, answer.clone()).catch(() => {}));
  } catch {
    // No caches here, or no room: the page itself needs none.
  }
  return answer;
}

// Register the service worker; resolves to true once everything is kept, false where that cannot be.
// Call it when the page has loaded its files.
export async function keepForOffline() {
  if (!navigator.serviceWorker) return false;
  try {
    await Promise.all(underWay);
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
