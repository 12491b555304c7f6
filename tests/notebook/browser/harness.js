// What the page of a diagram meets in a notebook, without one: a model, and a place to be drawn in.

import marbles from "/marbles.js";

class Model {
  constructor(palette) {
    this.palette = palette;
    this.sent = [];
    this.listeners = new Map();
  }

  get(name) {
    return name === "palette" ? this.palette : undefined;
  }

  on(name, listener) {
    this.listeners.set(name, [...(this.listeners.get(name) ?? []), listener]);
  }

  off(name, listener) {
    this.listeners.set(name, this.listeners.get(name).filter((one) => one !== listener));
  }

  send(message) {
    if (this.closed) throw new Error("the comm is closed");
    this.sent.push(message);
  }

  trigger(name, ...values) {
    for (const listener of this.listeners.get(name) ?? []) listener(...values);
  }

  get listening() {
    return [...this.listeners.values()].flat().length;
  }
}

window.harness = {
  model: undefined,
  views: [],

  start(palette) {
    this.model = new Model(palette);
    return this.render();
  },

  render() {
    const el = document.createElement("div");
    document.body.append(el);
    const cleanup = marbles.render({ model: this.model, el });
    this.views.push({ el, cleanup, diagram: el.querySelector(".rxm").diagram });
    return this.views.length - 1;
  },

  /** Hand over messages of the kernel, and wait until they are drawn. */
  async tell(...messages) {
    for (const message of messages) this.model.trigger("msg:custom", message, []);
    await this.drawn();
  },

  /** What a kernel says when nothing is new, but what is said here. */
  delta(news) {
    const marks = { seq: [], t: [], lane: [], kind: [], label: [], size: [], cause: [] };
    const nothing = { marks, bins: [], spans: [], ends: [], lanes: [], totals: [], kept_from: 0 };
    return { type: "delta", state: "running", ...nothing, ...news };
  },

  /** A million marks as fast as the page takes them: 500 a delta, the older ones in bins, as a kernel would tell them. */
  async million() {
    for (let n = 0; n < 2_000; n += 1) {
      const seq = Array.from({ length: 500 }, (_, i) => n * 500 + i);
      const marks = {
        seq,
        t: seq.map((s) => s / 32_000),
        lane: seq.map((s) => s % 3),
        kind: seq.map((s) => ["bytes", "event", "text"][s % 3]),
        label: seq.map((s) => `label ${s}`.padEnd(200, "!")),
        size: seq.map(() => 10),
        cause: seq.map((s) => (s % 3 ? s - 1 : null)),
      };
      const t0 = (n - 40) / 64;
      this.model.trigger("msg:custom", this.delta({
        now: n / 64,
        marks,
        bins: t0 < 0 ? [] : [0, 1, 2].map((lane) => ({ lane, t0, t1: t0 + 1 / 64, counts: { text: 166 } })),
        spans: [{ lane: 2, kind: "stall", t0: n / 64, t1: null }],
        totals: [0, 1, 2].map((lane) => ({ lane, marks: n * 166, size: n * 1_660 })),
        kept_from: Math.max(0, (n - 40) * 500),
      }), []);
      if (n % 50 === 0) await this.drawn();
    }
    await this.drawn();
  },

  async drawn() {
    const frame = () => new Promise(requestAnimationFrame);
    await new Promise((done) => setTimeout(done, 31)); // as long as a drawing may be put off
    for (let n = 0; n < 2; n += 1) await frame();
  },
};
window.harnessReady = true;
