// The page: its tabs, the networks that it loads, and what keeps it at hand offline.
import { livePage } from "../agegenderemo/web/js/live.js";
import { DeviceSource } from "../agegenderemo/web/js/sources.js";
import { Device, progressWords, trouble } from "./device.js";
import { taskSpec } from "./engine/tasks.js";
import { keepForOffline } from "./offline.js";
import { photoPage } from "./photo.js";

const SITE = new URL("./site.json", document.baseURI).href;
const find = (id) => document.getElementById(id);

// ---------------------------------------------------------------- colours

const dark = matchMedia("(prefers-color-scheme: dark)");
const recolour = () => document.body.classList.toggle("dark", dark.matches);
dark.addEventListener("change", recolour);
recolour();

// ---------------------------------------------------------------- tabs

const tabs = [...document.querySelectorAll('#pages [role="tab"]')];

function open(name) {
  const chosen = tabs.find(({ dataset }) => dataset.page === name) ?? tabs[0];
  for (const tab of tabs) {
    tab.ariaSelected = String(tab === chosen);
    tab.tabIndex = tab === chosen ? 0 : -1;
    find("page-" + tab.dataset.page).hidden = tab !== chosen;
  }
  return chosen;
}

function go(name) {
  const { dataset } = open(name);
  if (location.hash !== "#" + dataset.page) history.pushState(null, "", "#" + dataset.page);
}

for (const [i, tab] of tabs.entries()) {
  tab.addEventListener("click", () => go(tab.dataset.page));
  tab.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const next = tabs[(i + step + tabs.length) % tabs.length];
    go(next.dataset.page);
    next.focus();
  });
}
addEventListener("popstate", () => open(location.hash.slice(1)));
open(location.hash.slice(1));

// ---------------------------------------------------------------- networks

const loading = find("loading");
const bar = find("loading-bar");
const words = find("loading-words");
const again = find("loading-again");

function tell(text, kind = "") {
  words.textContent = text;
  words.className = "note " + kind;
}

async function device(progress = () => {}) {
  const found = await Device.shared(SITE, progress, true);
  if (!loading.hidden) arrived(found);
  return found;
}

// Whoever it was that asked for them.
async function arrived(found) {
  loading.hidden = true;
  document.body.dataset.ready = "true";
  // Not before: what was loaded is not fetched again.
  await found.kept();
  if (await keepForOffline()) document.body.dataset.offline = "true";
}

// They come as soon as the page is there: who opens it wants them.
async function prepare() {
  again.hidden = true;
  bar.hidden = false;
  try {
    await device((far) => {
      tell(progressWords(far));
      [bar.max, bar.value] = [far.total, far.loaded];
    });
  } catch (error) {
    bar.hidden = true;
    again.hidden = Boolean(trouble());
    tell(error.message, "bad");
  }
}
again.addEventListener("click", prepare);
prepare();

const live = find("live");
livePage(find("page-live"), new DeviceSource((said) => device((far) => said(progressWords(far)))));
find("live-local").parentElement.remove(); // there is nowhere else

const { tasks, plain, specs } = JSON.parse(decodeURIComponent(live.dataset.tasks));
photoPage(find("page-photo"), { tasks, plain, specs: specs.map(taskSpec), open: device });
find("page-photo").addEventListener("wanted", () => go("photo"));
