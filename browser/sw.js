// The service worker of the static site: after the first visit the page works without a network.
//
// Files with a hash in their name are kept in one cache and always answered from it; they came there
// only after their digest was checked. The page itself and what says what belongs to it come from the
// network while there is one, so that a reload brings a new version, else as they were kept together
// with the files of this version. A new version is installed whole or not at all, beside the old one;
// what only the old one used is deleted when the new one takes over, once no page of the old is open.

const SITE = "@site@"; // the builder writes { build, app, hashed: [[path, digest, …]], plain: [[path, digest]] } here

const ROOT = new URL("./", self.location.href).href;
const PREFIX = "agegenderemo " + ROOT; // other sites may live on this host
const FILES = PREFIX + " files";
const PAGE = PREFIX + " page " + SITE.build;
const INDEX = "index.html";
const PATIENCE = 4000; // ms that a network which does not answer is waited for, where something is kept

const unpacks = "DecompressionStream" in self;

const addressOf = (path) => ROOT + path;

// Of a file that lies there twice, whole and gzipped, the one that the page asks for.
const wanted = (path, all) => path.endsWith(".gz") ? unpacks : !(unpacks && all.has(path + ".gz"));

function neededFiles() {
  const all = new Set(SITE.hashed.map(([path]) => path));
  return SITE.hashed.filter(([path]) => wanted(path, all));
}

async function digestOf(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function unpacked(bytes) {
  const [first, second] = new Uint8Array(bytes, 0, Math.min(2, bytes.byteLength));
  if (first !== 0x1f || second !== 0x8b) return bytes; // a host has unpacked it on its way
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

// Fetch a file and keep it, when it is what was built. What is gzipped is kept unpacked under the same
// address: the next visit need not do it again. A host may have done it: then it is the whole file that
// must be right.
async function keep(cache, [path, ...digests], how) {
  const answer = await fetch(addressOf(path), { cache: how, credentials: "same-origin" });
  if (!answer.ok) throw new Error(path + ": " + answer.status);
  const bytes = await answer.arrayBuffer();
  // Hosts may add to the page itself, but it must be that of these files.
  const right =
    path === INDEX
      ? new TextDecoder().decode(bytes).includes(SITE.app + "/")
      : digests.includes(await digestOf(bytes));
  if (!right) throw new Error(path + " is of another version");
  const type = answer.headers.get("content-type") ?? "application/octet-stream";
  const whole = path.endsWith(".gz") ? await unpacked(bytes) : bytes;
  await cache.put(addressOf(path), new Response(whole, { headers: { "content-type": type } }));
}

async function isKept(cache, [path, ...digests]) {
  const kept = await cache.match(addressOf(path));
  return Boolean(kept) && digests.includes(await digestOf(await kept.arrayBuffer()));
}

async function install() {
  const files = await caches.open(FILES);
  // The page has laid there what it has loaded (offline.js).
  const whole = async (file) => (await isKept(files, file)) || keep(files, file, "force-cache");
  await Promise.all(neededFiles().map(whole));
  const page = await caches.open(PAGE);
  await Promise.all(SITE.plain.map((file) => keep(page, file, "no-cache")));
}

async function activate() {
  const files = await caches.open(FILES);
  const needed = new Set(neededFiles().map(([path]) => addressOf(path)));
  const old = (await files.keys()).filter(({ url }) => !needed.has(url));
  await Promise.all(old.map((request) => files.delete(request)));
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX + " page ") && name !== PAGE);
  await Promise.all(names.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function fromFiles(request, path) {
  const files = await caches.open(FILES);
  return (await files.match(addressOf(path))) ?? fetch(request);
}

async function fromNetwork(request, path) {
  const page = await caches.open(PAGE);
  const kept = await page.match(addressOf(path));
  if (!kept) return fetch(request);
  const stop = new AbortController();
  const late = setTimeout(() => stop.abort(), PATIENCE);
  try {
    const answer = await fetch(request, { cache: "no-cache", signal: stop.signal });
    return answer.ok || answer.type === "opaqueredirect" ? answer : kept;
  } catch {
    return kept;
  } finally {
    clearTimeout(late);
  }
}

// A page of this version asks its worker not to wait: no other page is open that uses an old one.
async function takeOver() {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  if (windows.filter(({ url }) => url.startsWith(ROOT)).length <= 1) await self.skipWaiting();
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("message", (event) => {
  const { type, app } = event.data ?? {};
  if (type === "activate" && app === SITE.app) event.waitUntil(takeOver());
});
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = request.url.split(/[?#]/)[0];
  if (request.method !== "GET" || !url.startsWith(ROOT)) return;
  const path = url.slice(ROOT.length) || INDEX;
  if (/^(app-[0-9a-f]{16}|files)\//.test(path)) event.respondWith(fromFiles(request, path));
  else if (SITE.plain.some(([one]) => one === path)) event.respondWith(fromNetwork(request, path));
});
