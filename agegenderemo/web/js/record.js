// A session as JSON, CSV and a clip: what was said of whom, and the camera's picture.

const MOST_MINUTES = 10;
const MIMES = ["video/webm;codecs=vp9", "video/webm", "video/mp4"];

// The columns of a task, and its cells of a face.
export function columns(task) {
  if (task.kind === "regression") return [task.name, task.name + "_low", task.name + "_high"];
  if (task.kind === "binary") return [task.name, task.name + "_probability"];
  return [task.name, ...task.classes.map(({ name }) => task.name + "_" + name)];
}

function cells(task, face) {
  if (task.kind === "regression") return [face[task.name], ...(face[task.name + "_interval"] ?? ["", ""])];
  if (task.kind === "binary") return [face[task.name], face[task.name + "_probability"]];
  return [face[task.name], ...task.classes.map(({ name }) => face[task.probabilities][name])];
}

const quoted = (cell) => (/[",\n]/.test(cell) ? '"' + String(cell).replaceAll('"', '""') + '"' : String(cell));

// `moments` are {seconds, faces}, oldest first.
export function csvOf(moments, tasks) {
  const head = ["seconds", "track_id", ...tasks.flatMap(columns)];
  const rows = moments.flatMap(({ seconds, faces }) =>
    faces.map((face) => [seconds, face.track_id, ...tasks.flatMap((task) => cells(task, face))]),
  );
  return [head, ...rows].map((row) => row.map(quoted).join(",") + "\n").join("");
}

export class Recording {
  // `full` is called when it has grown as long as it may.
  constructor(stream, now, full) {
    this.began = now;
    this.full = full;
    this.moments = [];
    this.parts = [];
    const mimeType = globalThis.MediaRecorder && MIMES.find((mime) => MediaRecorder.isTypeSupported(mime));
    if (!mimeType) return;
    this.clip = new MediaRecorder(stream, { mimeType });
    this.clip.ondataavailable = ({ data }) => this.parts.push(data);
    this.clip.start(1000);
  }

  add(faces, now) {
    const seconds = (now - this.began) / 1000;
    this.moments.push({ seconds: Number(seconds.toFixed(3)), faces });
    if (seconds > 60 * MOST_MINUTES) this.full();
  }

  // The files, by their ending.
  async end(tasks) {
    const files = {
      json: new Blob([JSON.stringify(this.moments)], { type: "application/json" }),
      csv: new Blob([csvOf(this.moments, tasks)], { type: "text/csv" }),
    };
    if (this.clip) {
      const stopped = new Promise((done) => (this.clip.onstop = done));
      if (this.clip.state !== "inactive") {
        this.clip.stop();
        await stopped;
      }
      const type = this.clip.mimeType.split(";")[0];
      files[type.split("/")[1]] = new Blob(this.parts, { type });
    }
    return files;
  }
}
