// What the page shows stands in its address, so that every number is a link and every view can be sent on.
const FACETS = ["answer", "fate", "stage", "kind", "answered", "colour", "size", "look-alikes", "versus", "decided", "label"];
const RANGES = ["score", "confidence", "iou", "margin"];
const SORTS = { order: "file order", margin: "margin", iou: "IoU", area: "size", confidence: "confidence", score: "score" };
const SETTINGS = ["confidence", "nms_iou", "max_det", "weight", "combine", "absent_below", "select", "above", "method"];
const NUMBERS = new Set(["confidence", "nms_iou", "max_det", "weight", "absent_below", "above"]);

const state = { run: 0, facets: {}, ranges: {}, words: "", sort: "order", down: false, caption: null, setting: {} };

function readAddress() {
  const hash = location.hash.startsWith("#/") ? location.hash.slice(2) : "", told = new URLSearchParams(hash);
  const runs = store.runs.length, run = Number(told.get("run") ?? runs - 1);
  Object.assign(state, { run: Number.isInteger(run) && run >= 0 && run < runs ? run : runs - 1, facets: {}, ranges: {},
    words: told.get("words") || "", setting: {}, caption: null });
  for (const name of FACETS) if (told.get(name)) state.facets[name] = told.get(name);
  for (const name of RANGES) {
    const ends = (told.get(name) || "").split("..");
    if (ends.length === 2) state.ranges[name] = [ends[0] === "" ? -Infinity : +ends[0], ends[1] === "" ? Infinity : +ends[1]];
  }
  const sort = told.get("sort") || "order";
  state.down = sort.startsWith("-");
  state.sort = Object.hasOwn(SORTS, sort.replace(/^-/, "")) ? sort.replace(/^-/, "") : "order";
  for (const name of SETTINGS) {
    const value = told.get("w." + name);
    if (value !== null) state.setting[name] = value === "null" ? null : NUMBERS.has(name) ? Number(value) : value;
  }
  const caption = told.get("caption");
  if (caption !== null && /^\d+$/.test(caption) && +caption < numCaptions) state.caption = +caption;
  if (!knowsSetting()) state.setting = {};
  return hash !== "";
}

// Whether the address asks for settings that there are: a link may be old, or made by hand.
function knowsSetting() {
  const o = offersOf(store.runs[state.run]), s = state.setting;
  if (!Object.keys(s).length) return true;
  if (!o || Object.entries(s).some(([name, v]) => NUMBERS.has(name) && v !== null && !Number.isFinite(v))) return false;
  const is_there = (name, among) => !(name in s) || among.includes(s[name]);
  return is_there("nms_iou", o.nms_ious) && is_there("max_det", o.max_dets) && is_there("combine", waysOf(o))
    && is_there("select", ["best", "above"]) && is_there("method", ["best", "assignment"]) && !(s.confidence < o.floor);
}

// The address of the present view with some of it changed.
function addressOf(changes) {
  const s = { ...state, ...changes }, told = new URLSearchParams();
  if (s.run !== store.runs.length - 1) told.set("run", s.run);
  for (const [name, value] of Object.entries(s.facets)) told.set(name, value);
  const end = (value) => Number.isFinite(value) ? value : "";
  for (const [name, [low, high]] of Object.entries(s.ranges)) told.set(name, `${end(low)}..${end(high)}`);
  if (s.words) told.set("words", s.words);
  if (s.sort !== "order" || s.down) told.set("sort", (s.down ? "-" : "") + s.sort);
  for (const [name, value] of Object.entries(s.setting)) told.set("w." + name, String(value));
  if (s.caption !== null) told.set("caption", s.caption);
  return "#/" + told.toString();
}

function ownSetting(run) {
  const o = offersOf(run);
  return o ? o.own : null;
}

// The setting that is looked at: the run's own with what was moved; null where nothing was.
function movedSetting(run) {
  const own = ownSetting(run);
  if (!own) return null;
  const moved = Object.entries(state.setting).filter(([name, value]) => own[name] !== value);
  return moved.length ? { ...own, ...Object.fromEntries(moved) } : null;
}
