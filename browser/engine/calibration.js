// What held-out faces say of a network's answers: error bars, temperatures, and how sure to be.

import { decode, probabilityOf, softmax } from "./tasks.js";

const TINY = 1e-12;

// The calibrated prediction of an activated value that no temperature has touched yet.
// `calibration` is that of the task in the network's record, absent where it has none.
export function predict(spec, value, calibration) {
  return judge(decode(spec, temper(value, calibration)), calibration);
}

// A number as it is, or the probabilities after the temperature of their classes.
export function temper(value, calibration) {
  if (!calibration?.temperature) return value;
  const { temperature } = calibration;
  if (Array.isArray(value)) return softmax(value.map((p) => Math.log(Math.max(TINY, p)) / temperature));
  const p = Math.min(1 - TINY, Math.max(TINY, value));
  return 1 / (1 + ((1 - p) / p) ** (1 / temperature));
}

// A prediction with its interval and expected error, or with whether it is confident; as it is
// without a calibration.
export function judge(prediction, calibration) {
  if (!calibration) return prediction;
  const { spec, value } = prediction;
  if (spec.kind !== "regression") {
    return { ...prediction, confident: probabilityOf(prediction) >= calibration.threshold };
  }
  const [low, high, error] = ["low", "high", "error"].map((column) =>
    interpolated(value, calibration.values, calibration[column]),
  );
  const least = spec.minimum === null ? low : Math.max(spec.minimum, low);
  return { ...prediction, interval: [Math.min(least, value), Math.max(high, value)], error };
}

// As numpy's `interp`: `places` rise, and beyond the ends the last value holds.
function interpolated(x, places, values) {
  const last = places.length - 1;
  if (x <= places[0]) return values[0];
  if (x >= places[last]) return values[last];
  let j = 0;
  while (places[j + 1] <= x) j++;
  if (places[j] === x) return values[j];
  const slope = (values[j + 1] - values[j]) / (places[j + 1] - places[j]);
  return slope * (x - places[j]) + values[j];
}
