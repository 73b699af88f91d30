// The last thirty seconds of each face in one categorical task.

export const RIBBON_SECONDS = 30;
const RIBBON_STEP = 250; // ms a column

export class Pasts {
  // Without a task there is nothing to remember.
  constructor(task) {
    this.task = task;
    this.byFace = new Map(); // track_id -> [{time, values}]
  }

  clear() {
    this.byFace.clear();
  }

  // Whether anything new was kept.
  remember(faces, now) {
    let grew = false;
    for (const face of this.task ? faces : []) {
      const id = face.track_id;
      const past = this.byFace.get(id) ?? this.byFace.set(id, []).get(id);
      if (past.length && now - past.at(-1).time < RIBBON_STEP) continue;
      past.push({ time: now, values: face[this.task.probabilities] });
      grew = true;
    }
    if (grew) this.forget(now);
    return grew;
  }

  forget(now) {
    for (const [id, past] of this.byFace) {
      while (past.length && now - past[0].time > 1000 * RIBBON_SECONDS) past.shift();
      if (!past.length) this.byFace.delete(id);
    }
  }

  // A column a moment, the classes stacked in it from the bottom; a gap where nobody was seen.
  draw(ribbon, id) {
    const past = this.byFace.get(id);
    if (!ribbon || !past?.length) return;
    const pen = ribbon.getContext("2d");
    pen.clearRect(0, 0, ribbon.width, ribbon.height);
    const now = past.at(-1).time;
    const place = (time) => ribbon.width * (1 - (now - time) / (1000 * RIBBON_SECONDS));
    for (const [i, { time, values }] of past.entries()) {
      // Each column reaches back to the one before it, unless nobody was seen between.
      const before = i ? past[i - 1].time : time - RIBBON_STEP;
      const x = place(time - before > 4 * RIBBON_STEP ? time - RIBBON_STEP : before);
      const column = place(time) - x;
      let bottom = ribbon.height;
      for (const { name, color } of this.task.classes) {
        const high = values[name] * ribbon.height;
        pen.fillStyle = color;
        pen.fillRect(x, bottom - high, column + 0.5, high);
        bottom -= high;
      }
    }
  }
}
