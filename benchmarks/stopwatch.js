// Times what the page does, by wrapping the browser's functions that it calls; in ms.
(() => {
  const times = (window.times = { copy: [], encode: [], server: [], wire: [], draw: [] });
  const timed = (proto, name, kept) => {
    const original = proto[name];
    proto[name] = function (...args) {
      const start = performance.now();
      try {
        return original.apply(this, args);
      } finally {
        kept.push(performance.now() - start);
      }
    };
  };
  timed(CanvasRenderingContext2D.prototype, "drawImage", times.copy);
  timed(HTMLCanvasElement.prototype, "toDataURL", times.encode);
  const sent = new WeakMap();
  const [ask, read] = [window.fetch, Response.prototype.json];
  window.fetch = async (...args) => {
    const start = performance.now();
    const response = await ask(...args);
    sent.set(response, start);
    return response;
  };
  Response.prototype.json = async function () {
    const reply = await read.call(this);
    if (reply?.ms) {
      const arrived = performance.now();
      times.server.push(reply.ms);
      times.wire.push(arrived - sent.get(this) - reply.ms);
      // The page counts a frame when it has drawn it.
      const root = document.querySelector("#live");
      const watcher = new MutationObserver(() => {
        times.draw.push(performance.now() - arrived);
        watcher.disconnect();
      });
      watcher.observe(root, { attributes: true, attributeFilter: ["data-frames"] });
    }
    return reply;
  };
})()
