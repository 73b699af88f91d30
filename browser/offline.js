// Lets the site work without a network after this visit, and its next version take over.

const APP = new URL(".", import.meta.url).pathname.split("/").at(-2); // app-HASH

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

// Register the service worker; resolves to true once everything is kept, false where that cannot be.
// Call it when the page has loaded its files: then they are not fetched twice.
export async function keepForOffline() {
  if (!navigator.serviceWorker) return false;
  try {
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
