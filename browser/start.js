// The networks begin to load before the rest of the page's modules are there.
import { Device } from "./device.js";

Device.shared(new URL("./site.json", document.baseURI).href, () => {}, true).catch(() => {}); // main.js says it
