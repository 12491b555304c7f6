/*
 * A live marble diagram: lanes on one clock, drawn on a canvas while the stream runs.
 *
 *   bytes   --[]-----[]------[]--|     a lane; its marks coloured by kind; | x and ¦ are ends
 *   events  --<>-<>--<><>----<>--|     marks too near to each other become bars of their density
 *   tokens  --o--o---oo//////o---|     hatched: a stall, or a gate that was closed
 *
 * It is a widget of anywidget (https://anywidget.dev): a plain ES module, `render({model, el})`, no build step and no
 * dependency. What kernel and page say to each other is written down in rxlapce/notebook/messages.py. In this order:
 *
 *   1 words      how times, counts and sizes are said
 *   2 store      what came: bounded, columns in typed arrays, no DOM
 *   3 window     which part of the clock is looked at: zoom, pan, follow, fit
 *   4 theme      dark or light, and its colours
 *   5 painter    store + window + theme -> canvas
 *   6 words beside the picture: header, lane names, legend, tooltip
 *   7 gestures   pointer, wheel, keys
 *   8 diagram    one view of a model: ties the above together, asks the kernel, draws when something changed
 *
 * Rules of the house: nothing is drawn but in a frame that something asked for (an idle diagram costs nothing); nothing
 * grows without a bound; text of the stream reaches the page as `textContent` and never as HTML.
 */

// ---------------------------------------------------------------------------------------------------------- 1 words

const KINDS = [
  "bytes", "event", "text", "reasoning", "refusal", "tool_call", "usage", "finish", "seam", "opaque", "value",
];
const KIND_NUMBER = new Map(KINDS.map((kind, number) => [kind, number]));
const NO_TOKENS = new Set(["bytes", "event", "value"].map((kind) => KIND_NUMBER.get(kind)));
const OTHER_KIND = KIND_NUMBER.get("value");
const kindNumber = (kind) => KIND_NUMBER.get(kind) ?? OTHER_KIND;
const kindWords = (kind) => kind.replaceAll("_", " ");

const counts = new Intl.NumberFormat("en");
const count = (number) => counts.format(Math.round(number));
const plural = (number, word) => `${count(number)} ${word}${Math.round(number) === 1 ? "" : "s"}`;

/** Three digits that matter: 0.123, 1.23, 12.3, 123. */
function three(value) {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return String(Number(value.toFixed(Math.min(digits, 6))));
}

/** How long something took: "850 µs", "12.3 ms", "4.05 s", "2 min 5 s", "1 h 3 min". */
export function duration(seconds) {
  const s = Math.abs(seconds);
  if (s < 1e-3) return `${three(seconds * 1e6)} µs`;
  if (s < 0.9995) return `${three(seconds * 1e3)} ms`;
  if (s < 60) return `${three(seconds)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

function size(bytes) {
  if (bytes < 1000) return `${count(bytes)} B`;
  if (bytes < 1e6) return `${three(bytes / 1e3)} kB`;
  return `${three(bytes / 1e6)} MB`;
}

/** What the sizes of a lane count: bytes, or characters of text. */
function sizeWords(shape, amount) {
  if (shape === "bytes" || shape === "frames" || shape === "events") return size(amount);
  return amount < 10_000 ? plural(amount, "char") : `${three(amount / 1e3)}k chars`;
}

/** Steps a clock is read in: 1, 2, 5 in powers of ten below a minute, then those of minutes and hours. */
const LONG_STEPS = [60, 120, 300, 600, 1800, 3600, 7200, 18000, 36000, 86400];

function tickStep(least) {
  if (least > 30) return LONG_STEPS.find((step) => step >= least) ?? Math.ceil(least / 86400) * 86400;
  if (least > 10) return least > 15 ? 30 : 15;
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= least * 0.999);
}

/** Places of the time axis from `t0` to `t1` with their words, at least `gap` of the width apart (0 to 1). */
export function ticks(t0, t1, gap) {
  const step = tickStep((t1 - t0) * gap);
  const largest = Math.max(Math.abs(t0), Math.abs(t1));
  const [unit, scale] = largest < 1e-3 ? ["µs", 1e6] : largest < 1 ? ["ms", 1e3] : ["s", 1];
  const decimals = Math.max(0, -Math.floor(Math.log10(step * scale) + 1e-9));
  const places = [];
  // Counted, not added up: a sum of floats would drift off the round numbers.
  for (let n = Math.ceil(t0 / step - 1e-9); n * step <= t1; n += 1) {
    const t = n * step;
    const words = step >= 15 ? clock(t) : n === 0 ? "0" : `${(t * scale).toFixed(decimals)} ${unit}`;
    places.push({ t, words });
  }
  return places;
}

/** "2:05", "1:02:05": what is read off a clock when a tick is many seconds. */
function clock(t) {
  const two = (n) => String(n).padStart(2, "0");
  const whole = Math.round(t);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

// ---------------------------------------------------------------------------------------------------------- 2 store

/** Of a mark that has no known cause. */
const NO_CAUSE = -1;
/** A page holds no more than this, whatever the kernel says. */
const MOST_MARKS = 200_000;
const MOST_BINS = 2_000;
const MOST_SPANS = 500;
const MOST_LANES = 64;
const LABEL_CHARS = 40;

/**
 * The newest marks, column by column in a ring: 36 bytes a mark and its label, allocated once.
 *
 * Marks come in the order of `seq`, which is that of time too: both are found by halving. `i` counts from the oldest.
 */
export class Marks {
  constructor(capacity) {
    this.capacity = Math.max(1, Math.min(capacity, MOST_MARKS));
    this.seq = new Float64Array(this.capacity);
    this.t = new Float64Array(this.capacity);
    this.cause = new Float64Array(this.capacity);
    this.size = new Float64Array(this.capacity);
    this.row = new Uint8Array(this.capacity);
    this.kind = new Uint8Array(this.capacity);
    this.label = new Array(this.capacity).fill("");
    this.head = 0;
    this.length = 0;
  }

  slot(i) {
    const slot = this.head + i;
    return slot < this.capacity ? slot : slot - this.capacity;
  }

  next(slot) {
    return slot + 1 < this.capacity ? slot + 1 : 0;
  }

  push(seq, t, row, kind, label, bytes, cause) {
    if (this.length === this.capacity) this.dropOldest();
    const at = this.slot(this.length);
    const newest = this.length ? this.t[this.slot(this.length - 1)] : t;
    this.seq[at] = seq;
    this.t[at] = Math.max(t, newest); // halving needs the order, even of a clock that was read on two threads
    this.row[at] = row;
    this.kind[at] = kind;
    this.label[at] = label.length > LABEL_CHARS ? label.slice(0, LABEL_CHARS) : label;
    this.size[at] = bytes;
    this.cause[at] = cause ?? NO_CAUSE;
    this.length += 1;
  }

  dropOldest() {
    this.label[this.head] = "";
    this.head = this.next(this.head);
    this.length -= 1;
  }

  dropBefore(seq) {
    while (this.length && this.seq[this.head] < seq) this.dropOldest();
  }

  /** The first `i` whose `column` is at least `value`; `length` if there is none. */
  lowest(column, value) {
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (column[this.slot(middle)] < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Where the mark `seq` is, as a slot; -1 if it is kept no longer. */
  find(seq) {
    const i = this.lowest(this.seq, seq);
    return i < this.length && this.seq[this.slot(i)] === seq ? this.slot(i) : -1;
  }
}

/** One lane, with all that is known of it but its marks. */
class Row {
  constructor(lane) {
    this.name = lane.name;
    this.shape = lane.shape;
    this.bins = []; // in the order of t0
    this.spans = [];
    this.end = null;
    this.marks = 0;
    this.size = 0;
  }

  /** A bin replaces those that begin within it: it came of them. */
  putBin({ t0, t1, counts: byKind }) {
    const bin = { t0, t1, counts: byKind, total: Object.values(byKind).reduce((sum, n) => sum + n, 0) };
    let from = this.bins.length;
    while (from > 0 && this.bins[from - 1].t0 >= t0) from -= 1;
    let to = from;
    while (to < this.bins.length && (this.bins[to].t0 < t1 || this.bins[to].t0 === t0)) to += 1;
    this.bins.splice(from, to - from, bin);
    if (this.bins.length > MOST_BINS) this.halveBins();
  }

  halveBins() {
    const halved = [];
    for (let i = 0; i < this.bins.length; i += 2) {
      const [a, b] = [this.bins[i], this.bins[i + 1]];
      if (!b) halved.push(a);
      else {
        const sum = { ...a.counts };
        for (const [kind, n] of Object.entries(b.counts)) sum[kind] = (sum[kind] ?? 0) + n;
        halved.push({ t0: a.t0, t1: Math.max(a.t1, b.t1), counts: sum, total: a.total + b.total });
      }
    }
    this.bins = halved;
  }

  putSpan(span) {
    const at = this.spans.findLastIndex((one) => one.kind === span.kind && one.t0 === span.t0);
    if (at >= 0) this.spans[at] = span;
    else this.spans.push(span);
    if (this.spans.length > MOST_SPANS) this.spans.shift();
  }
}

const LIVE = new Set(["waiting", "running"]);

/** What the kernel has told: filled by a snapshot, kept up to date by deltas. */
export class Store {
  constructor() {
    this.reset({ title: "", state: "waiting", now: 0, max_marks: 1, lanes: [] });
    this.empty = true;
  }

  reset({ title, state, now, max_marks: maxMarks, lanes }) {
    this.empty = false;
    this.title = title;
    this.state = state;
    this.now = now;
    if (this.marks?.capacity === Math.min(maxMarks, MOST_MARKS)) this.marks.dropBefore(Infinity);
    else this.marks = new Marks(maxMarks);
    this.rows = [];
    this.rowOf = new Map(); // a lane's id -> its place
    this.kinds = new Set(); // those that have been seen, by number
    this.history = []; // what the last lane had when: for the speed of the last second
    this.deltas = 0; // since the snapshot
    this.addLanes(lanes);
  }

  /** Whether it is a model that speaks. */
  get hasTokens() {
    return [...this.kinds].some((kind) => !NO_TOKENS.has(kind));
  }

  get live() {
    return LIVE.has(this.state);
  }

  snapshot(message) {
    this.reset(message);
    this.take(message);
  }

  delta(message) {
    if (this.empty) return; // meant for another view, which asked before this one did
    this.addLanes(message.lanes);
    this.take(message);
    this.marks.dropBefore(message.kept_from);
    this.state = message.state;
    this.now = message.now;
    this.deltas += 1;
  }

  addLanes(lanes) {
    for (const lane of lanes) {
      if (this.rowOf.has(lane.id) || this.rows.length === MOST_LANES) continue;
      this.rowOf.set(lane.id, this.rows.length);
      this.rows.push(new Row(lane));
    }
  }

  take({ marks, bins, spans, ends, totals, now }) {
    this.takeMarks(marks);
    for (const bin of bins) {
      this.rowBy(bin.lane)?.putBin(bin);
      for (const kind of Object.keys(bin.counts)) this.kinds.add(kindNumber(kind));
    }
    for (const span of spans) this.rowBy(span.lane)?.putSpan(span);
    for (const end of ends) {
      const row = this.rowBy(end.lane);
      if (row) row.end = end;
    }
    for (const total of totals) {
      const row = this.rowBy(total.lane);
      if (row) [row.marks, row.size] = [total.marks, total.size];
    }
    this.remember(now);
  }

  takeMarks({ seq, t, lane, kind, label, size: sizes, cause }) {
    for (let i = 0; i < seq.length; i += 1) {
      const row = this.rowOf.get(lane[i]);
      if (row === undefined) continue;
      const number = kindNumber(kind[i]);
      this.kinds.add(number);
      this.marks.push(seq[i], t[i], row, number, label[i], sizes[i], cause[i]);
    }
  }

  rowBy(id) {
    return this.rows[this.rowOf.get(id)];
  }

  remember(now) {
    const row = this.rows.at(-1);
    if (!row) return;
    this.history.push({ now, marks: row.marks });
    // One from before the last second is needed to subtract from.
    while (this.history.length > 2 && this.history[1].now <= now - 1) this.history.shift();
  }

  /** Marks a second in the last lane: of the last second while it runs, of all its time after. */
  rate(now) {
    const row = this.rows.at(-1);
    if (!row) return 0;
    if (!this.live) return row.marks / Math.max(row.end?.t ?? now, 1e-9);
    const first = this.history.find((one) => one.now > now - 1);
    const before = this.history[Math.max(0, this.history.indexOf(first) - 1)];
    if (!first || !before || first === before) return first ? row.marks / Math.max(now, 0.1) : 0;
    return (row.marks - before.marks) / Math.max(now - before.now, 0.1);
  }

  /** The longest stall that is kept, in seconds, and how many there were. */
  stalls(now) {
    const spans = this.rows.flatMap((row) => row.spans).filter((span) => span.kind === "stall");
    return { stalls: spans.length, longest: Math.max(0, ...spans.map((span) => (span.t1 ?? now) - span.t0)) };
  }

  /** Until when there is something to see: a kernel's clock runs on after the end. */
  until(now) {
    if (this.live) return now;
    const newest = this.marks.length ? this.marks.t[this.marks.slot(this.marks.length - 1)] : 0;
    const ends = this.rows.map((row) => Math.max(row.end?.t ?? 0, row.bins.at(-1)?.t1 ?? 0, row.spans.at(-1)?.t1 ?? 0));
    return Math.max(newest, ...ends) || now;
  }

  /** Of `seq` and what it came from, and of what came from it: slots, in pairs of cause and effect, at most `most`. */
  family(seq, chain, most = 200) {
    const pairs = this.ancestors(seq, chain);
    const known = new Set([seq]);
    // Effects follow their cause closely; a bounded look ahead finds them without an index.
    const from = this.marks.lowest(this.marks.seq, seq) + 1;
    const to = Math.min(this.marks.length, from + 4_000);
    for (let i = from; i < to && pairs.length < most; i += 1) {
      const slot = this.marks.slot(i);
      if (!known.has(this.marks.cause[slot])) continue;
      known.add(this.marks.seq[slot]);
      pairs.push([this.marks.find(this.marks.cause[slot]), slot]);
    }
    return pairs.filter(([cause, effect]) => cause >= 0 && effect >= 0);
  }

  ancestors(seq, chain) {
    const pairs = [];
    let at = this.marks.find(seq);
    let left = MOST_LANES;
    const told = chain ? [...chain] : null;
    while (at >= 0 && left > 0) {
      const cause = told ? (told.shift() ?? NO_CAUSE) : this.marks.cause[at];
      const up = cause === NO_CAUSE ? -1 : this.marks.find(cause);
      if (up >= 0) pairs.push([up, at]);
      at = up;
      left -= 1;
    }
    return pairs;
  }
}

// --------------------------------------------------------------------------------------------------------- 3 window

/** While following, at most so much of the newest is shown, in seconds. */
const FOLLOWED_S = 10;
const LEAST_SPAN_S = 5e-6;
/** A little room beside what is fitted, as a share of it: an end at the very edge would not be seen. */
const MARGIN = 0.03;

/** The part of the clock that is looked at, from `t0` to `t1`. */
export class TimeWindow {
  constructor() {
    this.t0 = 0;
    this.t1 = 1;
    this.following = true;
    this.followed = FOLLOWED_S;
  }

  get span() {
    return this.t1 - this.t0;
  }

  x(t, width) {
    return ((t - this.t0) / this.span) * width;
  }

  time(x, width) {
    return this.t0 + (x / width) * this.span;
  }

  /** All from 0 to `until`. */
  fit(until) {
    const span = Math.max(until, 1e-3);
    this.t0 = -MARGIN * span;
    this.t1 = (1 + MARGIN) * span;
  }

  /** The newest, if it is followed: all of it as long as that is short. `jumps` instead of sliding, where asked for. */
  follow(now, jumps) {
    if (!this.following) return;
    if (now <= this.followed * (1 - MARGIN)) return this.fit(Math.max(now, 0.05));
    const step = this.followed / 4;
    this.t1 = jumps ? Math.ceil(now / step) * step : now + MARGIN * this.followed;
    this.t0 = this.t1 - this.followed;
  }

  /** `factor` > 1 shows less, with the time `at` where it was. */
  zoom(factor, at, until) {
    const most = Math.max(until, 1e-3) * 4;
    const span = Math.min(most, Math.max(LEAST_SPAN_S, this.span / factor));
    const share = (at - this.t0) / this.span;
    this.following = false;
    this.set(at - share * span, span, until);
  }

  pan(seconds, until) {
    this.following = false;
    this.set(this.t0 + seconds, this.span, until);
  }

  /** Some of what there is stays in sight: one cannot get lost. */
  set(t0, span, until) {
    this.t0 = Math.min(Math.max(t0, -0.9 * span), until - 0.1 * span);
    this.t1 = this.t0 + span;
  }

  /** Follow again, with as much in sight as now. */
  refollow() {
    this.following = true;
    this.followed = Math.max(this.span, 0.1);
  }
}

// ---------------------------------------------------------------------------------------------------------- 4 theme

/** What notebooks say of themselves, else what the reader's system prefers. */
export function isDark(body = document.body) {
  const jupyter = body.dataset.jpThemeLight;
  if (jupyter) return jupyter === "false";
  if (body.classList.contains("vscode-light") || body.classList.contains("vscode-high-contrast-light")) return false;
  if (body.classList.contains("vscode-dark") || body.classList.contains("vscode-high-contrast")) return true;
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** What else has a colour of its own; rxlapce/notebook/palette.py has them all. */
const TINTS = ["ground", "ink", "muted", "line", "stall", "paused", "completed", "failed", "cancelled"];

/** The palette's colours for dark or light: those of the kinds by number, the others by name. */
class Theme {
  constructor(palette, dark) {
    const colour = (name) => palette[name]?.[dark ? "dark" : "light"] ?? (dark ? "#ccc" : "#444");
    this.dark = dark;
    this.kinds = KINDS.map(colour);
    for (const name of TINTS) this[name] = colour(name);
  }

  /** For the style sheet: the words beside the canvas wear the same colours. */
  dress(element) {
    element.dataset.theme = this.dark ? "dark" : "light";
    for (const name of TINTS) element.style.setProperty(`--rxm-${name}`, this[name]);
  }
}

// -------------------------------------------------------------------------------------------------------- 5 painter

const LANE_PX = 50;
const LINE_PX = 20; // of a lane, from its top to its line
const AXIS_PX = 24;
const COLUMN_PX = 3;
/** Of all lanes together: with many lanes the columns are wider, and a frame draws no more. */
const MOST_CELLS = 2_500;
const BAR_PX = 30;
const MOST_RADIUS = 6.5;
const LEAST_RADIUS = 2.5;
const PILE_RADIUS = 4;
/** So many marks in one column are still drawn one by one, if there is nothing beside them. */
const PILE = 4;
const DIMMED = 0.12;
/** A label that does not fit is cut, but to no fewer characters. */
const LEAST_CUT = 12;
const MONO = 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';

/** How many of which kind fall into each column of each lane: so much is drawn, however many marks there are. */
class Columns {
  fit(rows, width, window) {
    this.wide = Math.max(COLUMN_PX, Math.ceil((rows * width) / MOST_CELLS));
    this.perSecond = width / window.span / this.wide;
    // They stand still in time, so that a bar slides with it instead of changing as marks cross a border.
    this.before = Math.floor(window.t0 * this.perSecond);
    this.shift = (window.t0 * this.perSecond - this.before) * this.wide;
    this.across = Math.ceil(width / this.wide) + 2;
    const cells = rows * this.across;
    if (!this.total || this.total.length < cells) {
      this.total = new Float32Array(cells);
      this.first = new Int32Array(cells);
      this.last = new Int32Array(cells);
      this.byKind = new Float32Array(cells * KINDS.length);
    }
    this.total.fill(0, 0, cells);
    this.byKind.fill(0, 0, cells * KINDS.length);
    this.most = 8; // below that, bars would look like crowds
  }

  at(t) {
    return Math.floor(t * this.perSecond) - this.before;
  }

  x(column) {
    return column * this.wide - this.shift;
  }

  /** Whether nothing is so near to a cell that a pile would touch it. */
  alone(cell, column) {
    const reach = Math.ceil((2 * PILE_RADIUS) / this.wide);
    for (let near = Math.max(0, column - reach); near <= Math.min(this.across - 1, column + reach); near += 1) {
      if (near !== column && this.total[cell - column + near] > 0) return false;
    }
    return true;
  }

  /** Only `n` of marks that are kept no longer are known; of others the slot, too. */
  add(cell, kind, n, slot = -1) {
    if (this.total[cell] === 0) this.first[cell] = slot;
    this.last[cell] = slot;
    this.total[cell] += n;
    this.byKind[cell * KINDS.length + kind] += n;
    if (this.total[cell] > this.most) this.most = this.total[cell];
  }
}

/** Draws a store as a window sees it. What it has drawn is counted in `drawn`. */
class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.columns = new Columns();
    this.hatches = new Map();
    this.drawn = 0;
    this.width = 0;
    this.height = 0;
  }

  /** As sharp as the screen is: as many pixels as it has, not as the style sheet counts. */
  resize(width, rows, ratio) {
    const height = AXIS_PX + Math.max(1, rows) * LANE_PX;
    if (width === this.width && height === this.height && ratio === this.ratio) return;
    [this.width, this.height, this.ratio] = [width, height, ratio];
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.height = `${height}px`;
    this.hatches.clear();
  }

  wear(theme) {
    this.theme = theme;
    this.hatches.clear();
  }

  line(row) {
    return AXIS_PX + row * LANE_PX + LINE_PX;
  }

  paint({ store, window, now, chosen, focus }) {
    const c = this.context;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.clearRect(0, 0, this.width, this.height);
    Object.assign(this, { store, window, now, chosen });
    this.drawn = 0;
    this.axis();
    store.rows.forEach((row, at) => this.lane(row, this.line(at)));
    this.gather();
    store.rows.forEach((_, at) => this.marksOf(at, this.line(at)));
    store.rows.forEach((row, at) => this.endOf(row, this.line(at), store.rows[at - 1]?.end?.error));
    if (focus) this.focus(focus);
  }

  x(t) {
    return this.window.x(t, this.width);
  }

  axis() {
    const c = this.context;
    c.font = `11px system-ui, sans-serif`;
    c.textBaseline = "middle";
    c.textAlign = "center";
    for (const { t, words } of ticks(this.window.t0, this.window.t1, Math.min(1, 90 / this.width))) {
      if (t < 0) continue;
      const x = Math.round(this.x(t)) + 0.5;
      c.strokeStyle = this.theme.line;
      c.lineWidth = 1;
      c.beginPath();
      c.moveTo(x, AXIS_PX - 5);
      c.lineTo(x, this.height);
      c.stroke();
      c.fillStyle = this.theme.muted;
      const half = c.measureText(words).width / 2;
      c.fillText(words, Math.min(Math.max(x, half + 1), this.width - half - 1), AXIS_PX / 2);
    }
  }

  /** The line, from the trace's beginning to the lane's end, and the whiles in which nothing passed. */
  lane(row, y) {
    const c = this.context;
    const [from, to] = [Math.max(0, this.x(0)), Math.min(this.width, this.x(row.end?.t ?? this.now))];
    if (to > from) {
      c.strokeStyle = this.theme.muted;
      c.globalAlpha = 0.55;
      c.lineWidth = 1.5;
      c.beginPath();
      c.moveTo(from, y);
      c.lineTo(to, y);
      c.stroke();
      c.globalAlpha = 1;
    }
    for (const span of row.spans) this.span(span, y);
  }

  span({ kind, t0, t1 }, y) {
    const until = t1 ?? this.now;
    const [from, to] = [this.x(t0), this.x(until)];
    if (to < 0 || from > this.width || to - from < 1) return;
    const c = this.context;
    const [left, right] = [Math.max(0, from), Math.min(this.width, to)];
    c.save();
    c.translate(from, 0); // the hatching moves with the time, instead of shimmering under it
    c.fillStyle = this.hatch(kind);
    c.fillRect(left - from, y - 13, right - left, 26);
    c.restore();
    c.fillStyle = this.theme[kind];
    for (const x of t1 === null ? [from] : [from, to]) c.fillRect(Math.round(x) - 1, y - 13, 1, 26);
    c.font = "600 10.5px system-ui, sans-serif";
    c.textAlign = "center";
    c.textBaseline = "middle";
    const long = duration(until - t0);
    const words = [`${kind} ${long}`, long].find((one) => c.measureText(one).width + 8 < right - left);
    if (words) {
      const wide = c.measureText(words).width + 8;
      const middle = (left + right) / 2;
      c.fillStyle = this.theme.ground;
      c.fillRect(middle - wide / 2, y - 7, wide, 14);
      c.fillStyle = this.theme[kind];
      c.fillText(words, middle, y + 0.5);
    }
    this.drawn += 1;
  }

  hatch(kind) {
    if (this.hatches.has(kind)) return this.hatches.get(kind);
    const rising = kind === "stall";
    const side = Math.round(6 * this.ratio);
    const tile = new OffscreenCanvas(side, side);
    const c = tile.getContext("2d");
    c.strokeStyle = this.theme[kind];
    c.globalAlpha = 0.6;
    c.lineWidth = 1.2 * this.ratio;
    c.lineCap = "square";
    c.beginPath();
    for (const shift of [-side, 0, side]) {
      c.moveTo(shift, rising ? side : 0);
      c.lineTo(shift + side, rising ? 0 : side);
    }
    c.stroke();
    const pattern = this.context.createPattern(tile, "repeat");
    pattern.setTransform(new DOMMatrix().scale(1 / this.ratio));
    this.hatches.set(kind, pattern);
    return pattern;
  }

  /** One pass over what is in sight. */
  gather() {
    const { marks, rows } = this.store;
    const columns = this.columns;
    columns.fit(rows.length, this.width, this.window);
    rows.forEach((row, at) => this.gatherBins(row.bins, at * columns.across));
    const to = marks.lowest(marks.t, this.window.t1);
    for (let i = marks.lowest(marks.t, this.window.t0); i < to; i += 1) {
      const slot = marks.slot(i);
      columns.add(marks.row[slot] * columns.across + columns.at(marks.t[slot]), marks.kind[slot], 1, slot);
    }
  }

  /** A bin is spread evenly over the columns that it covers. */
  gatherBins(bins, offset) {
    const last = this.columns.across - 1;
    for (const { t0, t1, counts: byKind } of bins) {
      if (t1 < this.window.t0 || t0 > this.window.t1) continue;
      const [from, to] = [this.columns.at(t0), this.columns.at(t1)];
      const [first, final] = [Math.max(0, from), Math.min(last, to)];
      const share = 1 / (to - from + 1);
      for (const [name, n] of Object.entries(byKind)) {
        const kind = kindNumber(name);
        for (let column = first; column <= final; column += 1) this.columns.add(offset + column, kind, n * share);
      }
    }
  }

  marksOf(row, y) {
    const { columns } = this;
    const offset = row * columns.across;
    const radius = this.radius(offset);
    let waiting = null; // a mark whose label waits for how much room there is
    for (let column = 0; column < columns.across; column += 1) {
      const cell = offset + column;
      if (columns.total[cell] === 0) continue;
      const slots = this.few(cell, column, radius);
      const x = slots ? this.x(this.store.marks.t[slots[0]]) : columns.x(column);
      if (waiting) this.label(waiting, y, x - waiting.x - radius);
      waiting = slots?.length === 1 ? { slot: slots[0], x } : null;
      if (slots) this.pile(slots, y, radius);
      else this.bar(cell, columns.x(column), y);
    }
    if (waiting) this.label(waiting, y, this.width - waiting.x);
  }

  /** The marks of a cell, if they are few enough to be drawn one by one; else null. */
  few(cell, column, radius) {
    const { total, first, last } = this.columns;
    const n = total[cell];
    if (n > PILE || first[cell] < 0) return null;
    if (!this.columns.alone(cell, column)) {
      if (n > 2 || radius === LEAST_RADIUS) return null; // among bars, a bar
      return n === 1 ? [first[cell]] : [first[cell], last[cell]];
    }
    const { marks } = this.store;
    const slots = [];
    for (let slot = first[cell]; slots.length < n; slot = marks.next(slot)) {
      if (marks.row[slot] === marks.row[first[cell]]) slots.push(slot);
    }
    return slots;
  }

  /** What came at once, as several tokens do in one read, lies one upon the other. */
  pile(slots, y, radius) {
    const { t } = this.store.marks;
    const upright = slots.length > 1 && this.x(t[slots.at(-1)]) - this.x(t[slots[0]]) < radius;
    const r = upright ? PILE_RADIUS : Math.max(radius, slots.length === 1 ? 3 : 0);
    slots.forEach((slot, at) => {
      this.marble(slot, this.x(t[slot]), upright ? y + (at - (slots.length - 1) / 2) * (2 * r + 0.5) : y, r);
    });
  }

  /** Marbles of a lane are of one size: as large as there is room for on the average. */
  radius(offset) {
    let [marks, used] = [0, 0];
    for (let cell = offset; cell < offset + this.columns.across; cell += 1) {
      if (this.columns.total[cell] > 0) used += 1;
      marks += Math.min(2, this.columns.total[cell]);
    }
    if (!used) return MOST_RADIUS;
    return Math.min(MOST_RADIUS, Math.max(LEAST_RADIUS, (this.width / marks) * 0.42));
  }

  dim(kind) {
    return this.chosen.size && !this.chosen.has(kind) ? DIMMED : 1;
  }

  marble(slot, x, y, radius) {
    const c = this.context;
    const kind = this.store.marks.kind[slot];
    c.globalAlpha = this.dim(kind);
    c.fillStyle = this.theme.kinds[kind];
    c.strokeStyle = this.theme.ground;
    c.lineWidth = 1;
    c.beginPath();
    c.arc(x, y, radius, 0, 2 * Math.PI);
    c.fill();
    c.stroke();
    c.globalAlpha = 1;
    this.drawn += 1;
  }

  bar(cell, x, y) {
    const c = this.context;
    const { byKind, total, most } = this.columns;
    const height = Math.max(4, BAR_PX * (Math.log1p(total[cell]) / Math.log1p(most)));
    let top = y - height / 2;
    for (let kind = 0; kind < KINDS.length; kind += 1) {
      const n = byKind[cell * KINDS.length + kind];
      if (n === 0) continue;
      const part = (height * n) / total[cell];
      c.globalAlpha = this.dim(kind);
      c.fillStyle = this.theme.kinds[kind];
      c.fillRect(x, top, this.columns.wide, part);
      top += part;
      this.drawn += 1;
    }
    c.globalAlpha = 1;
  }

  /** As much of a label as fits before the next mark; that does not change as the picture slides. */
  label({ slot, x }, y, room) {
    const c = this.context;
    c.font = `11px ${MONO}`;
    const text = this.store.marks.label[slot].trim();
    const letter = c.measureText("m").width;
    const fitting = Math.floor((room + 4) / letter);
    if (!text || fitting < Math.min(LEAST_CUT, text.length)) return; // a few letters would only be dirt
    c.globalAlpha = this.dim(this.store.marks.kind[slot]);
    c.fillStyle = this.theme.ink;
    c.textAlign = "left";
    c.textBaseline = "middle";
    const cut = text.length > fitting ? `${text.slice(0, fitting - 1)}…` : text;
    c.fillText(cut, x - MOST_RADIUS / 2, y + 19, room + 6);
    c.globalAlpha = 1;
    this.drawn += 1;
  }

  /** An error goes down all lanes; in words it stands where it began, not where it says what the lane `above` said. */
  endOf({ end }, y, above) {
    if (!end) return;
    const x = this.x(end.t);
    if (x < -10 || x > this.width + 10) return;
    const failed = end.outcome === "failed";
    this.context.setLineDash(end.outcome === "cancelled" ? [3, 3] : []);
    if (failed) this.endMark(x, y, failed, this.theme.ground, 4.5); // apart from a mark that lies under it
    this.endMark(x, y, failed, this.theme[end.outcome], failed ? 2.5 : 2);
    this.context.setLineDash([]);
    this.drawn += 1;
    if (end.error && end.error !== above) this.besideEnd(end.error, x, y - 15, this.theme.failed);
    else if (end.outcome === "cancelled") this.besideEnd("cancelled", x, y - 15, this.theme.cancelled);
  }

  /** A cross, or a bar. */
  endMark(x, y, cross, colour, width) {
    const c = this.context;
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.beginPath();
    if (cross) {
      c.moveTo(x - 6, y - 6);
      c.lineTo(x + 6, y + 6);
      c.moveTo(x + 6, y - 6);
      c.lineTo(x - 6, y + 6);
    } else {
      c.moveTo(x, y - 12);
      c.lineTo(x, y + 12);
    }
    c.stroke();
  }

  /** To the left, where an end at the right edge has its room; over what is there, so on paper. */
  besideEnd(text, x, y, colour) {
    const c = this.context;
    c.font = "600 11px system-ui, sans-serif";
    const room = Math.max(60, Math.max(x, this.width - x) - 12);
    const words = shortened(c, text, room);
    const wide = c.measureText(words).width;
    const left = x + 8 + wide < this.width ? x + 8 : x - 8 - wide;
    c.textAlign = "left";
    c.textBaseline = "middle";
    c.fillStyle = this.theme.ground;
    c.globalAlpha = 0.85;
    c.fillRect(left - 3, y - 7, wide + 6, 14);
    c.globalAlpha = 1;
    c.fillStyle = colour;
    c.fillText(words, left, y);
  }

  /** The mark that is looked at, a hairline at its time, and links to what it came from and what came of it. */
  focus({ slot, pairs }) {
    const c = this.context;
    const { marks } = this.store;
    const place = (at) => [this.x(marks.t[at]), this.line(marks.row[at])];
    c.strokeStyle = this.theme.ink;
    c.lineWidth = 1.5;
    c.globalAlpha = 0.75;
    for (const [cause, effect] of pairs) {
      const [[x0, y0], [x1, y1]] = [place(cause), place(effect)];
      const bend = (y1 - y0) / 2;
      c.beginPath();
      c.moveTo(x0, y0);
      c.bezierCurveTo(x0, y0 + bend, x1, y1 - bend, x1, y1);
      c.stroke();
    }
    c.globalAlpha = 1;
    for (const at of new Set(pairs.flat())) this.ring(...place(at), 5.5, 1.5);
    const [x, y] = place(slot);
    this.ring(x, y, 8.5, 2.5);
    c.globalAlpha = 0.5;
    c.lineWidth = 1;
    c.setLineDash([2, 3]);
    c.beginPath();
    c.moveTo(x, AXIS_PX - 4);
    c.lineTo(x, this.height);
    c.stroke();
    c.setLineDash([]);
    c.globalAlpha = 1;
  }

  ring(x, y, radius, width) {
    const c = this.context;
    c.strokeStyle = this.theme.ink;
    c.lineWidth = width;
    c.beginPath();
    c.arc(x, y, radius, 0, 2 * Math.PI);
    c.stroke();
  }
}

function shortened(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  const share = room / context.measureText(text).width;
  return `${text.slice(0, Math.max(1, Math.floor(text.length * share) - 1))}…`;
}

// ----------------------------------------------------------------------------------------- 6 words beside the picture

function make(tag, name, text = "") {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}

/** Touching the page costs a layout; saying again what stands there would, too. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function button(name, text, title, press) {
  const element = make("button", `rxm-button ${name}`, text);
  element.type = "button";
  element.title = title;
  element.addEventListener("click", press);
  return element;
}

const STATE_WORDS = {
  waiting: "waiting", running: "running", completed: "completed", failed: "failed", cancelled: "cancelled",
  gone: "kernel gone",
};

/** Title, state, time and speed; what can be pressed. */
class Header {
  constructor({ follow, fit, cancel }) {
    this.element = make("div", "rxm-head");
    this.title = make("span", "rxm-title");
    this.state = make("span", "rxm-state");
    this.clock = make("span", "rxm-number");
    this.rate = make("span", "rxm-number");
    this.follow = button("rxm-follow", "follow", "Show the newest again (End)", follow);
    this.fit = button("rxm-fit", "fit", "Show all of it (f, or a double click)", fit);
    this.cancel = button("rxm-cancel", "cancel", "Dispose of the stream", cancel);
    const space = make("span", "rxm-space");
    this.element.append(this.title, this.state, this.clock, this.rate, space, this.follow, this.fit, this.cancel);
  }

  update({ store, now, gone, following, cancelling }) {
    const state = gone ? "gone" : store.state;
    const lane = store.rows.at(-1);
    say(this.title, store.title || "stream");
    say(this.state, STATE_WORDS[state] ?? state);
    this.state.dataset.state = state;
    say(this.clock, store.empty ? "" : duration(now));
    say(this.rate, lane?.marks ? `${count(store.rate(now))} ${store.hasTokens ? "tokens" : "items"}/s` : "");
    this.rate.title = store.live ? "In the last second" : "On the average";
    this.follow.hidden = !store.live || following || gone;
    this.cancel.hidden = !store.live || gone || store.empty;
    this.cancel.disabled = cancelling;
    say(this.cancel, cancelling ? "cancelling…" : "cancel");
  }
}

/** The names of the lanes, at the height of their lines, with what has passed them. */
class LaneNames {
  constructor() {
    this.element = make("div", "rxm-lanes");
    this.element.style.paddingTop = `${AXIS_PX}px`;
    this.totals = [];
  }

  update(rows) {
    while (this.totals.length > rows.length) {
      this.element.lastChild.remove();
      this.totals.pop();
    }
    for (const row of rows.slice(this.totals.length)) {
      const lane = make("div", "rxm-lane");
      lane.style.height = `${LANE_PX}px`;
      const total = make("span", "rxm-total");
      lane.append(make("span", "rxm-name"), total);
      this.element.append(lane);
      this.totals.push(total);
    }
    rows.forEach((row, at) => {
      const lane = this.element.children[at];
      lane.title = row.end?.error ? `${row.name}: ${row.end.error}` : row.name;
      say(lane.firstChild, row.name);
      say(this.totals[at], row.size ? `${count(row.marks)} · ${sizeWords(row.shape, row.size)}` : count(row.marks));
    });
  }
}

/** Which colour is what. A click on a kind shows it, and dims the others. */
class Legend {
  constructor(changed) {
    this.element = make("div", "rxm-legend");
    this.chosen = new Set();
    this.changed = changed;
    this.shown = "";
  }

  update(kinds, theme) {
    const now = [...kinds].sort((a, b) => a - b);
    const shown = `${theme.dark} ${now} ${[...this.chosen]}`;
    if (shown === this.shown) return;
    this.shown = shown;
    const focused = [...this.element.children].indexOf(document.activeElement);
    this.element.replaceChildren(...now.map((kind) => this.entry(kind, theme)));
    this.element.children[focused]?.focus();
  }

  entry(kind, theme) {
    const entry = button("rxm-kind", "", "Dim the others", () => this.toggle(kind));
    const dot = make("span", "rxm-dot");
    dot.style.background = theme.kinds[kind];
    entry.append(dot, kindWords(KINDS[kind]));
    entry.setAttribute("aria-pressed", String(this.chosen.has(kind)));
    entry.classList.toggle("rxm-dimmed", this.chosen.size > 0 && !this.chosen.has(kind));
    return entry;
  }

  toggle(kind) {
    if (!this.chosen.delete(kind)) this.chosen.add(kind);
    this.changed();
  }
}

/** What is known of what the pointer rests on. In the browser's top layer: a cell's output cuts off what leaves it. */
class Tip {
  constructor() {
    this.element = make("div", "rxm-tip");
    this.element.setAttribute("popover", "manual");
    this.element.setAttribute("role", "tooltip");
    this.pinned = false;
    this.open = false;
  }

  /** `facts`: `{title, colour, label, lines, more}`; `x` and `y` of the page's window. */
  show(facts, x, y) {
    this.fill(facts);
    if (!this.open) this.element.showPopover?.();
    this.open = true;
    this.place(x, y);
  }

  fill({ title, colour, label, lines, detail, note }) {
    const head = make("div", "rxm-tip-head");
    if (colour) {
      const dot = make("span", "rxm-dot");
      dot.style.background = colour;
      head.append(dot);
    }
    head.append(make("span", "rxm-tip-title", title));
    const parts = [head];
    if (label && !detail) parts.push(make("div", "rxm-tip-label", label));
    for (const line of lines) parts.push(make("div", "rxm-tip-line", line));
    if (detail?.text) parts.push(make("pre", "rxm-tip-text", detail.cut ? `${detail.text}…` : detail.text));
    if (detail?.raw) parts.push(make("div", "rxm-tip-line", "bytes"), make("pre", "rxm-tip-raw", detail.raw));
    if (note) parts.push(make("div", "rxm-tip-note", note));
    this.element.replaceChildren(...parts);
    this.element.classList.toggle("rxm-pinned", this.pinned);
  }

  /** Beside the pointer, wherever there is room. */
  place(x, y) {
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const left = x + 14 + width < innerWidth ? x + 14 : Math.max(4, x - 14 - width);
    const top = y + 16 + height < innerHeight ? y + 16 : Math.max(4, y - 16 - height);
    this.element.style.left = `${left}px`;
    this.element.style.top = `${top}px`;
  }

  hide() {
    this.pinned = false;
    if (!this.open) return;
    this.open = false;
    this.element.hidePopover?.();
  }
}

// ------------------------------------------------------------------------------------------------------- 7 gestures

/** A click moves the pointer a little, too. */
const CLICK_PX = 4;

/** Drag, pinch and wheel on the canvas, as calls of the diagram. */
class Gestures {
  constructor(canvas, diagram, signal) {
    this.canvas = canvas;
    this.diagram = diagram;
    this.pointers = new Map();
    this.moved = 0;
    const on = (type, listener, options = {}) =>
      canvas.addEventListener(type, listener.bind(this), { signal, ...options });
    on("pointerdown", this.down);
    on("pointermove", this.move);
    on("pointerup", this.up);
    on("pointercancel", this.up);
    on("pointerleave", () => this.pointers.size || diagram.unhover());
    on("wheel", this.wheel, { passive: false });
    on("dblclick", () => diagram.fit());
    on("keydown", this.key);
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  down(event) {
    if (event.button !== 0) return;
    this.pointers.set(event.pointerId, this.at(event));
    if (this.pointers.size === 1) this.moved = 0;
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
  }

  move(event) {
    const to = this.at(event);
    const from = this.pointers.get(event.pointerId);
    if (!from) return this.diagram.hoverAt(to.x, to.y);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.moved += Math.abs(to.x - from.x) + Math.abs(to.y - from.y);
    if (other) {
      const [before, after] = [Math.abs(from.x - other.x), Math.abs(to.x - other.x)];
      if (before > 8 && after > 8) this.diagram.zoomAt(after / before, (to.x + other.x) / 2);
    } else if (this.moved > CLICK_PX) {
      this.canvas.classList.add("rxm-dragged");
      this.diagram.panPixels(from.x - to.x);
    }
    this.pointers.set(event.pointerId, to);
  }

  up(event) {
    const known = this.pointers.delete(event.pointerId);
    this.canvas.classList.remove("rxm-dragged");
    if (known && event.type === "pointerup" && this.moved <= CLICK_PX) {
      const { x, y } = this.at(event);
      this.diagram.pinAt(x, y);
    }
  }

  /**
   * Pinched (a browser says so by `ctrlKey`), or with the diagram in focus: else who scrolls through the notebook would
   * be caught by each diagram on the way. Sideways always pans.
   */
  wheel(event) {
    const { deltaX, deltaY } = pixels(event);
    const sideways = Math.abs(deltaX) > Math.abs(deltaY);
    const focused = this.canvas.matches(":focus");
    if (!(event.ctrlKey || event.metaKey || sideways || focused)) return;
    event.preventDefault();
    event.stopPropagation();
    if (sideways || event.shiftKey) this.diagram.panPixels(sideways ? deltaX : deltaY);
    else this.diagram.zoomAt(Math.exp(-deltaY * (event.ctrlKey ? 0.01 : 0.002)), this.at(event).x);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { diagram } = this;
    const step = diagram.painter.width / 8;
    const keys = {
      f: () => diagram.fit(),
      "+": () => diagram.zoomAt(1.5),
      "=": () => diagram.zoomAt(1.5),
      "-": () => diagram.zoomAt(1 / 1.5),
      ArrowLeft: () => (event.shiftKey ? diagram.step(-1) : diagram.panPixels(-step)),
      ArrowRight: () => (event.shiftKey ? diagram.step(1) : diagram.panPixels(step)),
      ArrowUp: () => diagram.stepLane(-1),
      ArrowDown: () => diagram.stepLane(1),
      Home: () => diagram.goTo(0),
      End: () => diagram.goToEnd(),
      Escape: () => diagram.unhover(true),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    event.stopPropagation(); // a notebook has its own meaning for these
    keys[event.key]();
  }
}

/** Wheels that count in lines or pages (`deltaMode` 1, 2) are brought to pixels. */
function pixels({ deltaX, deltaY, deltaMode }) {
  const scale = [1, 16, 400][deltaMode];
  return { deltaX: deltaX * scale, deltaY: deltaY * scale };
}

// -------------------------------------------------------------------------------------------------------- 8 diagram

const VERSION = 1;
const KEYS_WORDS = "Plus and minus zoom, arrows move, shift and arrows step from mark to mark, F shows all.";
const SEEN_EVERY_MS = 250;
/** Between drawings of what came: thirty a second, on a screen that draws sixty frames. */
const UPDATE_MS = 30;
/** Between drawings for the clock alone. */
const TICK_MS = 100;
/** The pointer must rest before the kernel is asked: sweeping over marks is no question. */
const REST_MS = 80;
const HIT_PX = 12;
const DETAILS_KEPT = 64;
const ALOUD_EVERY_MS = 5_000;
const PATIENCE_MS = 4_000;

/** One view of a model. Everything that it has begun is ended by `dispose`. */
class Diagram {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.store = new Store();
    this.store.title = model.get("title") ?? "";
    this.window = new TimeWindow();
    this.details = new Map(); // the answers of the kernel, by seq
    this.hover = null;
    this.gone = false;
    this.cancelling = false;
    this.inSight = true;
    this.lead = -Infinity; // of the kernel's clock over the page's, in seconds
    this.told = { deltas: 0, at: -Infinity };
    this.heard = { at: -Infinity, state: "" }; // what was said aloud
    this.frames = 0;
    this.drawnAt = -Infinity;
    this.timers = new Map();
    this.ends = new AbortController();
    this.build();
    this.listen();
    this.wear();
    this.send({ type: "ready" });
    this.later("silence", PATIENCE_MS, () => {
      if (this.store.empty) this.notice("No kernel answers: run the cell again to see this live.");
    });
  }

  // --- how it is built, and taken down

  build() {
    this.header = new Header({ follow: () => this.follow(), fit: () => this.fit(), cancel: () => this.cancel() });
    this.lanes = new LaneNames();
    this.legend = new Legend(() => this.invalidate());
    this.tip = new Tip();
    this.canvas = make("canvas", "rxm-canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application"); // keys are for it, not for a screen reader's own browsing
    this.canvas.setAttribute("aria-roledescription", "marble diagram");
    this.canvas.dataset.lmSuppressShortcuts = "true"; // JupyterLab's
    this.painter = new Painter(this.canvas);
    this.noticeLine = make("div", "rxm-notice");
    this.noticeLine.setAttribute("role", "status");
    this.noticeLine.hidden = true;
    this.aloud = make("div", "rxm-aloud");
    this.aloud.setAttribute("aria-live", "polite");
    this.stage = make("div", "rxm-stage");
    this.stage.append(this.canvas);
    const body = make("div", "rxm-body");
    body.append(this.lanes.element, this.stage);
    const foot = make("div", "rxm-foot");
    const hint = make("span", "rxm-hint", "drag: move · click, then wheel: zoom · double click: all");
    foot.append(this.legend.element, hint);
    this.root = make("div", "rxm");
    this.root.append(this.header.element, this.noticeLine, body, foot, this.tip.element, this.aloud);
    // The room that it will take, so that the notebook does not jump when the first message comes.
    this.root.style.minHeight = `${this.model.get("height") ?? 0}px`;
    this.root.diagram = this; // for tests, and for the curious
    this.el.append(this.root);
  }

  listen() {
    const { signal } = this.ends;
    this.gestures = new Gestures(this.canvas, this, signal);
    this.heardEvents = {
      "msg:custom": (message) => this.hear(message),
      "change:palette": () => this.wear(),
      // JupyterLab marks the views of a kernel that restarts or has died before it tells of it.
      comm_live_update: () => this.lose(this.isCutOff()),
      "comm:close": () => this.lose(true),
      destroy: () => this.lose(true),
    };
    for (const [name, listener] of Object.entries(this.heardEvents)) this.model.on(name, listener);
    this.sizes = new ResizeObserver(() => this.invalidate());
    this.sizes.observe(this.stage);
    this.sight = new IntersectionObserver((entries) => {
      this.inSight = entries.at(-1).isIntersecting;
      if (this.inSight) this.invalidate();
    });
    this.sight.observe(this.root);
    this.themes = new MutationObserver(() => this.wear());
    this.themes.observe(document.body, {
      attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-vscode-theme-kind"],
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.wear(), { signal });
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.watchSharpness();
    addEventListener("scroll", () => this.tip.open && this.unhover(true), { signal, capture: true, passive: true });
  }

  /** A window that is dragged to another screen has other pixels; the query must name the ratio that it leaves. */
  watchSharpness() {
    this.sharpness = new AbortController();
    const signal = AbortSignal.any([this.ends.signal, this.sharpness.signal]);
    matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", () => {
      this.sharpness.abort();
      this.watchSharpness();
      this.invalidate();
    }, { signal });
  }

  dispose() {
    this.disposed = true;
    this.ends.abort();
    this.sizes.disconnect();
    this.sight.disconnect();
    this.themes.disconnect();
    for (const [name, listener] of Object.entries(this.heardEvents)) this.model.off(name, listener);
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    this.tip.hide();
    this.root.remove();
  }

  /** One timer of each name. */
  later(name, ms, act) {
    if (this.timers.has(name) || this.disposed) return;
    this.timers.set(name, setTimeout(() => {
      this.timers.delete(name);
      act();
    }, ms));
  }

  forget(name) {
    clearTimeout(this.timers.get(name));
    this.timers.delete(name);
  }

  // --- what the kernel says, and what it is told

  send(message) {
    if (this.gone) return;
    try {
      this.model.send(message);
    } catch {
      this.lose(true); // its connection is closed
    }
  }

  hear(message) {
    if (message.type === "snapshot") this.hearSnapshot(message);
    else if (message.type === "delta") {
      this.store.delta(message);
      this.hearClock();
    } else if (message.type === "detail" || message.type === "gone") this.hearDetail(message);
    // Messages that were held up come in a heap: they are drawn as one.
    this.forget("tick");
    this.later("tick", Math.max(0, this.drawnAt + UPDATE_MS - performance.now()), () => this.invalidate());
  }

  hearSnapshot(message) {
    if (message.version !== VERSION) {
      return this.notice("Kernel and page are of different versions: reload the page, and restart the kernel.");
    }
    this.forget("silence");
    this.notice("");
    this.lose(this.isCutOff()); // it may be a late word of a kernel that has been restarted
    this.store.snapshot(message);
    this.root.dataset.told = ""; // from here on the static form beside it is in the way: its style sheet looks for this
    this.root.style.minHeight = "";
    this.lead = -Infinity;
    this.told.deltas = 0;
    this.hearClock();
    if (!this.store.live && this.window.following) this.window.fit(this.store.until(message.now));
  }

  /** Messages are late by different times; the least late tells best how far the clocks are apart. */
  hearClock() {
    this.lead = Math.max(this.lead, this.store.now - performance.now() / 1000);
    if (!this.store.live) this.hearEnd();
  }

  hearEnd() {
    this.cancelling = false;
    this.forget("patience");
    this.notice("");
    if (!this.window.following) return;
    this.window.following = false;
    this.window.fit(this.store.until(this.store.now));
  }

  hearDetail(message) {
    this.details.set(message.seq, message);
    if (this.details.size > DETAILS_KEPT) this.details.delete(this.details.keys().next().value);
    if (this.hover?.seq === message.seq) this.showTip();
  }

  isCutOff() {
    return this.el.closest(".jupyter-widgets-disconnected") !== null;
  }

  lose(gone) {
    if (gone === this.gone) return;
    if (gone) this.stoppedAt = this.now();
    this.gone = gone;
    this.notice(gone && this.store.live ? "The kernel is gone. This is what it has told." : "");
    this.invalidate();
  }

  notice(text) {
    say(this.noticeLine, text);
    this.noticeLine.hidden = !text;
  }

  cancel() {
    this.cancelling = true;
    this.send({ type: "cancel" });
    this.later("patience", PATIENCE_MS, () => {
      if (this.cancelling) this.notice("No answer yet: a cell that keeps the kernel busy holds it back.");
    });
    this.invalidate();
  }

  /** The kernel holds back what a page has no time to draw. */
  tellSeen() {
    const wait = this.told.at + SEEN_EVERY_MS - performance.now();
    if (this.told.deltas === this.store.deltas) return;
    if (wait > 0) return this.later("seen", wait, () => this.tellSeen());
    this.told = { deltas: this.store.deltas, at: performance.now() };
    this.send({ type: "seen", deltas: this.store.deltas });
  }

  // --- drawing

  now() {
    if (!this.store.live) return this.store.until(this.store.now);
    if (this.gone) return this.stoppedAt;
    return Math.max(0, performance.now() / 1000 + (Number.isFinite(this.lead) ? this.lead : -performance.now() / 1000));
  }

  wear() {
    this.theme = new Theme(this.model.get("palette") ?? {}, isDark());
    this.theme.dress(this.root);
    this.painter.wear(this.theme);
    this.invalidate();
  }

  invalidate() {
    if (this.frame !== undefined || this.disposed) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = undefined;
      if (this.inSight) this.draw();
    });
  }

  draw() {
    const width = this.stage.clientWidth;
    if (width === 0) return this.waitForRoom();
    this.roomless = false;
    const now = this.now();
    if (this.store.live && !this.gone) this.window.follow(now, this.calm.matches);
    this.painter.resize(width, this.store.rows.length, devicePixelRatio);
    this.painter.paint({
      store: this.store, window: this.window, now, chosen: this.legend.chosen, focus: this.focus(),
    });
    const { store, gone, cancelling, window: { following } } = this;
    this.header.update({ store, now, gone, following, cancelling });
    this.lanes.update(this.store.rows);
    this.legend.update(this.store.kinds, this.theme);
    this.sayAloud(now);
    this.frames += 1;
    this.drawnAt = performance.now();
    this.tellSeen();
    this.forget("tick");
    // A clock that runs is something that changes.
    if (this.store.live && !this.gone && !this.store.empty) {
      this.later("tick", this.calm.matches ? 5 * TICK_MS : TICK_MS, () => this.invalidate());
    }
  }

  /**
   * Not shown: behind another tab, or in a folded cell. The observer tells when there is room again; but not if there
   * was none only within this frame, as while JupyterLab puts on another theme. So it is looked once more.
   */
  waitForRoom() {
    if (!this.roomless) this.invalidate();
    this.roomless = true;
  }

  sayAloud(now) {
    const at = performance.now();
    const { state } = this.store;
    const isNew = state !== this.heard.state || (this.store.live && at >= this.heard.at + ALOUD_EVERY_MS);
    if (this.store.empty || !isNew) return;
    this.heard = { at, state };
    const summary = this.summary(now);
    say(this.aloud, summary);
    this.canvas.setAttribute("aria-label", `${summary} ${KEYS_WORDS}`);
  }

  /** The picture, for those who do not see it. */
  summary(now) {
    const { store } = this;
    const { stalls, longest } = store.stalls(now);
    const lanes = store.rows.map((row) => {
      const error = row.end?.error ? `, ${row.end.error}` : "";
      return `${row.name}: ${plural(row.marks, "mark")}${error}.`;
    });
    const waits = stalls ? ` ${plural(stalls, "stall")}, the longest ${duration(longest)}.` : "";
    return `${store.title || "stream"}: ${STATE_WORDS[store.state]}, ${duration(now)}. ${lanes.join(" ")}${waits}`;
  }

  // --- which part is looked at

  until() {
    return this.store.until(this.now());
  }

  fit() {
    this.window.following = false;
    this.window.fit(this.until());
    this.invalidate();
  }

  follow() {
    this.window.refollow();
    this.invalidate();
  }

  zoomAt(factor, x = this.focusX() ?? this.painter.width / 2) {
    this.window.zoom(factor, this.window.time(x, this.painter.width), this.until());
    this.invalidate();
  }

  panPixels(x) {
    this.window.pan((x / this.painter.width) * this.window.span, this.until());
    this.invalidate();
  }

  goTo(t) {
    this.window.pan(t - MARGIN * this.window.span - this.window.t0, this.until());
    this.invalidate();
  }

  goToEnd() {
    if (this.store.live) return this.follow();
    this.goTo(this.until() - this.window.span * (1 - 2 * MARGIN));
  }

  // --- what is looked at

  /** Where a mark is, if the pointer is near to one. */
  nearest(x, row) {
    const { marks } = this.store;
    const reach = (HIT_PX / this.painter.width) * this.window.span;
    const t = this.window.time(x, this.painter.width);
    let [best, distance] = [-1, reach];
    const to = marks.lowest(marks.t, t + reach);
    for (let i = marks.lowest(marks.t, t - reach); i < to; i += 1) {
      const slot = marks.slot(i);
      if (marks.row[slot] !== row || Math.abs(marks.t[slot] - t) > distance) continue;
      [best, distance] = [slot, Math.abs(marks.t[slot] - t)];
    }
    return best;
  }

  hoverAt(x, y) {
    if (this.tip.pinned) return;
    const at = Math.floor((y - AXIS_PX) / LANE_PX);
    const row = this.store.rows[at];
    if (!row) return this.unhover();
    const t = this.window.time(x, this.painter.width);
    const near = (HIT_PX / this.painter.width) * this.window.span;
    const end = row.end && Math.abs(row.end.t - t) < near ? { end: row.end } : null;
    // An error is what one came for, if there is one; else a mark hides what is behind it.
    const what = (row.end?.error && end) || this.markAt(x, at) || this.whileAt(row, t) || end;
    if (!what) return this.unhover();
    this.look({ ...what, row: at, x, y });
  }

  markAt(x, row) {
    const slot = this.nearest(x, row);
    return slot >= 0 ? { seq: this.store.marks.seq[slot] } : null;
  }

  /** A span or a bin that covers `t`. */
  whileAt(row, t) {
    const span = row.spans.findLast((one) => one.t0 <= t && t <= (one.t1 ?? this.now()));
    if (span) return { span };
    const bin = row.bins.findLast((one) => one.t0 <= t && t <= one.t1);
    return bin ? { bin } : null;
  }

  look(hover) {
    const other = hover.seq === undefined || hover.seq !== this.hover?.seq;
    this.hover = hover;
    if (other) this.forget("rest");
    if (other && hover.seq !== undefined && !this.details.has(hover.seq)) {
      this.later("rest", REST_MS, () => this.send({ type: "ask_detail", seq: hover.seq }));
    }
    this.showTip();
    this.invalidate();
  }

  unhover(pinnedToo = false) {
    if (!this.hover || (this.tip.pinned && !pinnedToo)) return;
    this.hover = null;
    this.forget("rest");
    this.tip.hide();
    this.invalidate();
  }

  pinAt(x, y) {
    const pinned = this.tip.pinned;
    this.tip.pinned = false;
    this.hoverAt(x, y);
    this.tip.pinned = !pinned && this.hover !== null;
    if (this.hover) this.showTip();
  }

  showTip() {
    const facts = this.facts();
    if (!facts) return this.unhover(true);
    const box = this.canvas.getBoundingClientRect();
    this.tip.show(facts, box.left + this.hover.x, box.top + this.hover.y);
  }

  facts() {
    const { hover, store } = this;
    const row = store.rows[hover.row];
    if (!row) return null;
    if (hover.end) return factsOfEnd(row, hover.end);
    if (hover.span) return factsOfSpan(hover.span, this.now());
    if (hover.bin) return factsOfBin(row, hover.bin);
    return this.factsOfMark(row, store.marks.find(hover.seq));
  }

  factsOfMark(row, slot) {
    const { marks } = this.store;
    const detail = this.details.get(this.hover.seq);
    if (slot < 0) return { title: "kept no longer", lines: ["It has left the window that is kept."] };
    const kind = marks.kind[slot];
    const known = detail?.type === "detail" ? detail : null;
    const before = this.neighbour(slot, -1);
    const gap = before >= 0 ? marks.t[slot] - marks.t[before] : NaN;
    const after = gap < 5e-7 ? "with the one before" : gap >= 0 ? `${duration(gap)} after the one before` : "";
    const textual = row.shape === "tokens" || !["bytes", "event"].includes(KINDS[kind]);
    const long = textual ? plural(marks.size[slot], "char") : size(marks.size[slot]);
    // The kernel's title says when and how long; until it has come, the page says what it knows.
    const when = `at ${precise(marks.t[slot], this.window.span)}`;
    const lines = known ? [after] : [when, after, marks.size[slot] ? long : ""];
    return {
      title: known?.title ?? `${kindWords(KINDS[kind])} · ${row.name}`,
      colour: this.theme.kinds[kind],
      label: marks.label[slot],
      lines: lines.filter((line) => line),
      detail: known,
      note: this.noteOn(detail),
    };
  }

  noteOn(detail) {
    if (detail?.type === "gone") return "The kernel keeps no more of it.";
    return this.tip.pinned ? "Esc or a click lets go" : "click to keep this open";
  }

  /** The mark before (-1) or after (1) one of the same lane; a slot, -1 if there is none. */
  neighbour(slot, step) {
    const { marks } = this.store;
    const row = marks.row[slot];
    for (let i = marks.lowest(marks.seq, marks.seq[slot]) + step; i >= 0 && i < marks.length; i += step) {
      if (marks.row[marks.slot(i)] === row) return marks.slot(i);
    }
    return -1;
  }

  /** What the painter needs to show the mark that is looked at. */
  focus() {
    if (this.hover?.seq === undefined) return null;
    const slot = this.store.marks.find(this.hover.seq);
    if (slot < 0) return null;
    const detail = this.details.get(this.hover.seq);
    return { slot, pairs: this.store.family(this.hover.seq, detail?.chain) };
  }

  focusX() {
    const focus = this.focus();
    const x = focus && this.window.x(this.store.marks.t[focus.slot], this.painter.width);
    return focus && x >= 0 && x <= this.painter.width ? x : null;
  }

  // --- by keys: from mark to mark

  step(by) {
    const { marks } = this.store;
    if (!marks.length) return;
    const at = this.hover?.seq === undefined ? -1 : marks.find(this.hover.seq);
    const to = at >= 0 ? this.neighbour(at, by) : this.firstInSight(0);
    if (to >= 0) this.lookAt(to);
  }

  stepLane(by) {
    const rows = this.store.rows.length;
    if (!rows) return;
    const row = Math.min(rows - 1, Math.max(0, (this.hover?.row ?? (by > 0 ? -1 : rows)) + by));
    const to = this.hover?.seq === undefined ? this.firstInSight(row) : this.nearest(this.hover.x, row);
    this.lookAt(to >= 0 ? to : this.firstInSight(row));
  }

  firstInSight(row) {
    const { marks } = this.store;
    for (let i = marks.lowest(marks.t, this.window.t0); i < marks.length; i += 1) {
      if (marks.row[marks.slot(i)] === row) return marks.slot(i);
    }
    return -1;
  }

  lookAt(slot) {
    if (slot < 0) return;
    const { marks } = this.store;
    const t = marks.t[slot];
    const { t0, t1 } = this.window;
    if (t < t0 || t > t1) this.window.pan(t - (t0 + t1) / 2, this.until());
    const row = marks.row[slot];
    const kind = kindWords(KINDS[marks.kind[slot]]);
    this.tip.pinned = false;
    this.look({ seq: marks.seq[slot], row, x: this.window.x(t, this.painter.width), y: this.painter.line(row) });
    say(this.aloud, `${this.store.rows[row].name}, ${kind} ${marks.label[slot]}, at ${duration(t)}`);
  }
}

function factsOfEnd(row, { t, outcome, error }) {
  return { title: `${row.name}: ${outcome} at ${duration(t)}`, label: error, lines: [] };
}

const WHY = {
  stall: "Far longer than usual in this lane.",
  paused: "The gate beside the stream was closed: its reader could take no more.",
};

function factsOfSpan({ kind, t0, t1 }, now) {
  return { title: `${kind} ${duration((t1 ?? now) - t0)}`, lines: [`from ${duration(t0)}`, WHY[kind]] };
}

function factsOfBin(row, { t0, t1, counts: byKind }) {
  const lines = Object.entries(byKind).map(([kind, n]) => `${count(n)} ${kindWords(kind)}`);
  return { title: `${row.name}, ${duration(t0)} to ${duration(t1)}`, lines, note: "kept as counts only" };
}

/** A time with the digits that a window so wide can tell apart. */
function precise(t, span) {
  const decimals = Math.min(6, Math.max(3, Math.ceil(-Math.log10(span / 1000))));
  return `${t.toFixed(decimals)} s`;
}

export default {
  render({ model, el }) {
    const diagram = new Diagram(model, el);
    return () => diagram.dispose();
  },
};
