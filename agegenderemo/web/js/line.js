// The line to the server: when a new frame may go, and what comes back for it.
import { QUICK } from "./camera.js";

const REPLY_TIMEOUT = 10000; // ms
const ALONE = 2000; // ms without a second frame after the server was busy

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// Milliseconds until the next frame may be sent, given when those under way were, and the mean round
// trip, 0 if it is not known. Two may be under way, half a round trip apart, so that one is read
// while the other is on the line. On a slow line it is one, and nothing piles up.
export function untilNext(underWay, roundTrip, now) {
  if (!underWay.length) return 0;
  if (underWay.length > 1 || !roundTrip || roundTrip > QUICK) return Infinity;
  return underWay[0] + roundTrip / 2 - now;
}

export class Line {
  roundTrip = 0; // ms, the mean; 0 before the first
  #pair; // whether two may be under way
  #underWay = []; // when the frames under way were sent, the oldest first
  #alone = 0; // until when the server wants one at a time
  #fresh = false; // whether there is a picture that was not sent yet
  #wake = null;

  constructor(pair = true) {
    this.#pair = pair;
  }

  // There is a new picture.
  arrived() {
    this.#fresh = true;
    this.#wake?.();
  }

  // Until a new picture is there and may be sent.
  async turn() {
    for (;;) {
      const now = performance.now();
      const roundTrip = this.#pair && now >= this.#alone ? this.roundTrip : 0;
      const left = this.#fresh ? untilNext(this.#underWay, roundTrip, now) : Infinity;
      if (left <= 0) return;
      const called = new Promise((done) => (this.#wake = done));
      await (left < Infinity ? Promise.race([called, sleep(left)]) : called);
    }
  }

  // The reply to a call and the milliseconds that it took; no reply where the server is gone, and
  // null where it was one frame too many.
  async send(call) {
    const sent = performance.now();
    const second = this.#underWay.length > 0;
    this.#fresh = false;
    this.#underWay.push(sent);
    const reply = await Promise.race([
      Promise.resolve(call()).catch(() => undefined),
      sleep(REPLY_TIMEOUT),
    ]);
    const now = performance.now();
    this.#underWay = this.#underWay.filter((other) => other !== sent);
    this.#wake?.();
    if (second && reply?.busy) {
      this.#alone = now + ALONE;
      return [null, now - sent];
    }
    if (reply && !reply.error) {
      this.roundTrip = this.roundTrip ? 0.9 * this.roundTrip + 0.1 * (now - sent) : now - sent;
    }
    return [reply, now - sent];
  }
}
