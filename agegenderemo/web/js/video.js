// Video page: a click on the timeline, or on a time of the table, shows that moment of the film.
// The chart and the table are parts of their own, so clicks are heard on the whole document.

const FAR = 6; // pixels: more is no click
let pressed = null;

function seek(seconds) {
  const film = element.querySelector("video");
  if (!film || !Number.isFinite(seconds)) return;
  film.currentTime = Math.max(0, Math.min(seconds, film.duration || seconds));
}

function timeAt(chart, x) {
  const layout = chart._fullLayout;
  return layout.xaxis.p2d(x - chart.getBoundingClientRect().left - layout._size.l);
}

function chartOf(event) {
  return event.target.closest?.("#video-timeline")?.querySelector(".js-plotly-plot");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("#video-table [data-time]");
  if (button) seek(Number(button.dataset.time));
});

// Plotly covers the page while a button is down, so that no click arrives.
document.addEventListener("pointerdown", (event) => {
  pressed = chartOf(event) && { chart: chartOf(event), x: event.clientX, y: event.clientY };
}, true);

document.addEventListener("pointerup", (event) => {
  if (!pressed) return;
  const moved = Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y);
  if (moved < FAR) seek(timeAt(pressed.chart, event.clientX));
  pressed = null;
}, true);
