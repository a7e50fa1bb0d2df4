// Which captions are shown, and in which order.
const OUTCOMES = ["both right", "fixed", "broken", "both wrong"];

// A function that tells a caption's value of a facet in a view; before: the view it is compared with, or null.
function facetOf(name, now, before) {
  const { facets } = store.captions;
  if (facets[name]) return (m) => facets[name].names[facets[name].of[m]];
  if (name === "answer") return (m) => isRight(now, m) ? "right" : "wrong";
  if (name === "fate") return (m) => store.fates[now.fate[m]];
  if (name === "stage") return (m) => store.stages[now.fate[m]];
  if (name === "answered") return now.answered;
  if (name === "versus") return (m) => before ? outcomeOf(now, before, m) : null;
  if (name === "decided") return (m) => before ? deciderOf(now, before, m) : null;
  const own = now.run.facets[name];
  return own ? (m) => own.names[own.of[m]] : () => null;
}

const everyCaptionHasOne = (() => {
  let known;
  return () => known === undefined ? (known = allHaveOne()) : known;
})();

function allHaveOne() {
  for (let m = 0; m < numCaptions; m++) if (numTargetsOf(m) !== 1) return false;
  return true;
}

// Right as eval.compare counts: the hits, or where captions have several targets or none the exact answers.
function isRight(view, m) { return (everyCaptionHasOne() ? view.hit[m] : view.exact[m]) === 1; }

function outcomeOf(now, before, m) {
  const was = isRight(before, m), is = isRight(now, m);
  return was ? (is ? "both right" : "broken") : is ? "fixed" : "both wrong";
}

// Which stage made a difference: of the one that was wrong, whether a good candidate was offered to its scorer.
function deciderOf(now, before, m) {
  const was = isRight(before, m), is = isRight(now, m);
  if (was === is) return "no difference";
  const best = (was ? now : before).best_iou[m];
  if (Number.isNaN(best)) return "unknown";
  return best <= HIT_IOU && numTargetsOf(m) > 0 ? "detector" : "scorer";
}

function selected(now, before) {
  const wanted = Object.entries(state.facets).map(([name, value]) => [facetOf(name, now, before), value]);
  const ranges = Object.entries(state.ranges), words = state.words.toLowerCase().split(/\s+/).filter(Boolean), found = [];
  for (let m = 0; m < numCaptions; m++) {
    if (!wanted.every(([of, value]) => of(m) === value)) continue;
    if (!ranges.every(([name, [low, high]]) => { const v = now.value(name, m); return v >= low && v <= high; })) continue;
    if (words.length) {
      const text = (captionOf(m) + " " + imageNameOf(m)).toLowerCase();
      if (!words.every((word) => text.includes(word))) continue;
    }
    found.push(m);
  }
  return sorted(found, now);
}

function sorted(found, now) {
  if (state.sort === "order") return state.down ? found.reverse() : found;
  const area = store.captions.area, keys = new Map(found.map((m) => [m, state.sort === "area" ? area[m] : now.value(state.sort, m)]));
  const sign = state.down ? -1 : 1;
  return found.sort((a, b) => {
    const x = keys.get(a), y = keys.get(b);
    if (Number.isNaN(x) || Number.isNaN(y)) return (Number.isNaN(x) ? 1 : 0) - (Number.isNaN(y) ? 1 : 0) || a - b; // unknown last
    return sign * (x - y) || a - b;
  });
}

// The selection as lines of an annotation file, an image each, as data.write and the label tools read them.
function linesOf(captions) {
  const images = new Map();
  for (const m of captions) {
    const boxes = targetsOf(m), ids = store.captions.ids, entry = { caption: captionOf(m) };
    if (ids && ids[m] !== null) entry.id = ids[m];
    if (boxes.length === 1) entry.bbox = boxes[0]; else entry.boxes = boxes;
    const name = imageNameOf(m);
    if (!images.has(name)) images.set(name, []);
    images.get(name).push(entry);
  }
  return Array.from(images, ([image, annotations]) => JSON.stringify({ image, annotations })).join("\n") + (images.size ? "\n" : "");
}
