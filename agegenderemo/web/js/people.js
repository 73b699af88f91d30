// The people of a stream: a card for each of the largest, a box and a label for all.
import { fillCard, fillPicture, newCard } from "./bars.js";
import { Pasts, RIBBON_SECONDS } from "./ribbon.js";
import { boxAt, drawFaces, onStage } from "./stage.js";
import { categorical, colorsOf, labelWords, leadWords, settled } from "./words.js";

const MAX_CARDS = 8;
const REACH = 12; // CSS pixels beside a face that a click may be

const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);

export class People {
  slots = []; // {id, face, numbers, card}: a face keeps its slot, the largest have cards
  selected = null; // id of a slot

  // `list` holds the cards, which are made from `template`; tasks and plain are as `tasks_attribute`
  // describes them.
  constructor({ list, template, tasks, plain }) {
    Object.assign(this, { list, template, tasks, plain });
    this.pasts = new Pasts(categorical(tasks)[0]);
    this.hint = list.querySelector(".live-empty");
  }

  clear() {
    this.pasts.clear();
    this.show([]);
  }

  // The faces of one reply; whoever made it says who is who. `view` has the frame, whether it is
  // mirrored, and the time.
  show(faces, view) {
    const old = new Map(this.slots.map((slot) => [slot.id, slot]));
    const largest = [...faces].sort((a, b) => area(b) - area(a)).slice(0, MAX_CARDS);
    const carded = new Set([this.selected, ...largest.map((face) => face.track_id)]);
    this.slots = faces.map((face) => {
      const id = face.track_id;
      const slot = old.get(id) ?? { id, card: null, numbers: {} };
      old.delete(id);
      slot.face = face;
      if (carded.has(id)) slot.card ??= this.#addCard(id);
      else slot.card = slot.card?.remove() ?? null;
      for (const task of this.tasks.filter(({ kind }) => kind === "regression")) {
        slot.numbers[task.name] = settled(task, face[task.name], slot.numbers[task.name]);
      }
      return slot;
    });
    old.forEach((slot) => slot.card?.remove());
    if (!this.slots.some(({ id }) => id === this.selected)) this.selected = largest[0]?.track_id ?? null;
    this.hint.hidden = this.slots.length > 0;
    for (const slot of this.slots) {
      this.#fill(slot);
      if (slot.card) fillPicture(slot.card, slot.face, view.frame, view.mirrored, view.now);
    }
    if (faces.length && this.pasts.remember(faces, view.now)) this.#drawRibbon();
  }

  select(id) {
    this.selected = id;
    const slot = this.slots.find((one) => one.id === id);
    if (slot) slot.card ??= this.#addCard(id);
    this.slots.forEach((one) => this.#fill(one));
    this.#drawRibbon();
  }

  // Those whose answers stand.
  settled() {
    return this.slots.filter(({ face }) => face.settled !== false);
  }

  label({ face, numbers }) {
    return labelWords(this.tasks, face, numbers);
  }

  draw(overlay, stage) {
    const faces = this.slots.map((slot) => ({
      id: slot.id,
      box: slot.face.box,
      ...colorsOf(this.tasks, this.plain, slot.face),
      short: leadWords(this.tasks, slot.face, slot.numbers),
      whole: this.label(slot),
    }));
    drawFaces(overlay, stage, faces, this.selected);
  }

  // The slot that a point of the stage means, in CSS pixels; `scale` are those of the frame in one.
  at(x, y, scale, width, mirrored) {
    const boxes = this.slots.map((slot) => onStage(slot.face.box, width, mirrored));
    return this.slots[boxAt(boxes, x * scale, y * scale, REACH * scale)];
  }

  #addCard(id) {
    const card = newCard(this.template, this.tasks, RIBBON_SECONDS);
    card.dataset.face = id;
    this.list.append(card);
    return card;
  }

  #fill({ id, card, face, numbers }) {
    if (card) fillCard(card, this.tasks, face, numbers, id === this.selected);
  }

  #drawRibbon() {
    const slot = this.slots.find(({ id }) => id === this.selected);
    this.pasts.draw(slot?.card.querySelector(".live-ribbon"), this.selected);
  }
}
