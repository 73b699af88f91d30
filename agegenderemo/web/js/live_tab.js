// The Live tab. gr.HTML runs this once with `element` (its root) and `server` (Python functions),
// joined with the modules that it imports.
import { livePage } from "./live.js";
import { DeviceSource, ServerSource, openDevice } from "./sources.js";

const LOCAL = "agegenderemo-on-device"; // where the browser remembers that frames stay on the device

// Where the server has what can be run here; nothing where it does not offer that.
const offer = decodeURIComponent(element.querySelector("#live").dataset.device);
const onServer = new ServerSource(server);
const able = globalThis.WebAssembly && globalThis.DecompressionStream; // the server has large files gzipped alone
const onDevice = offer && able && new DeviceSource(openDevice(offer));

function chooseSource(local) {
  try {
    localStorage.setItem(LOCAL, local ? "1" : "");
  } catch {
    // It is the server again next time.
  }
  return local ? onDevice : onServer;
}

function remembered() {
  try {
    return Boolean(localStorage.getItem(LOCAL));
  } catch {
    return false;
  }
}

const box = element.querySelector("#live-local");
if (!onDevice) box.parentElement.remove();
else box.checked = remembered();
livePage(element, onDevice && box.checked ? onDevice : onServer, chooseSource);
