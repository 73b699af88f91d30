// How many faces have which answer: a bar a class, and for numbers a bar a decade.

const DECADE = 10;

// The answers of a task in their order: name, colour, and which values belong to it.
function groupsOf(task, faces, column) {
  const values = faces.map((face) => face.cells[column].value);
  if (task.kind !== "regression") {
    return task.classes.map(({ name, color }) => ({
      name,
      color,
      count: values.filter((value) => value === name).length,
    }));
  }
  const decades = values.map((value) => Math.max(0, Math.floor(value / DECADE)));
  const highest = Math.max(...decades);
  return Array.from({ length: highest + 1 }, (_, decade) => ({
    name: DECADE * decade + " to " + (DECADE * decade + DECADE - 1),
    count: decades.filter((one) => one === decade).length,
  }));
}

// One number of a summary: a title and a list of bars. Tasks without a unit have no decades.
export function tallies(tasks, faces) {
  if (!faces.length) return [];
  return tasks
    .map((task, column) => ({ task, groups: task.kind === "regression" && !task.unit ? [] : groupsOf(task, faces, column) }))
    .filter(({ groups }) => groups.length)
    .map(({ task, groups }) => ({ title: task.several || task.title, groups }));
}

// The order of rows by a column, stable; `direction` is 1 or -1.
export function sorted(rows, valueOf, direction) {
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  const empty = (value) => value === undefined || value === null;
  return rows
    .map((row, index) => [row, index])
    .sort(([a, i], [b, j]) => {
      const [x, y] = [valueOf(a), valueOf(b)];
      if (empty(x) || empty(y)) return empty(x) - empty(y) || i - j; // what has no answer comes last
      return direction * compare(x, y) || i - j;
    })
    .map(([row]) => row);
}
