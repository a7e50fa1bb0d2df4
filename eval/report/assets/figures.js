// Figures of answers as eval.answers.measures and eval.sweep name them, and their intervals by a closed form.
const FIGURES = {
  accuracy: ["captions with one target whose best box overlaps it by more than half", (c) => c.truths === 1 ? [c.hit, 1] : null],
  ceiling: ["captions with one target and a candidate that overlaps it by more than half",
    (c) => c.truths === 1 ? [c.reachable, 1] : null],
  none_accuracy: ["captions without a target that got no box", (c) => c.truths === 0 ? [c.hit, 1] : null],
  target_accuracy: ["captions with a target that got a box", (c) => c.truths > 0 ? [c.boxes > 0 ? 1 : 0, 1] : null],
  instance_f1: ["boxes answered and targets that match one to one, against all of both",
    (c) => [2 * c.matched, c.boxes + c.truths]],
  exact_share: ["captions answered with every target and nothing else", (c) => [isExact(c) ? 1 : 0, 1]],
};

function isExact(c) { return c.matched === c.truths && c.matched === c.boxes && (c.hit || c.truths > 0); }

function countsOf(told, m) {
  return { truths: numTargetsOf(m), boxes: told.num_boxes[m], matched: told.num_matched[m], hit: told.hit[m],
    reachable: told.reachable[m] };
}

// Every figure with its interval, and those of the detector's boxes that pass, which have none.
function figuresOf(told, offers) {
  const names = Object.keys(FIGURES), images = store.images.names.length;
  const part = names.map(() => new Float64Array(images)), whole = names.map(() => new Float64Array(images));
  let num_hits = 0;
  for (let m = 0; m < numCaptions; m++) {
    const counts = countsOf(told, m), image = store.captions.image[m];
    if (counts.truths === 1 && counts.hit) num_hits++;
    names.forEach((name, k) => {
      const pair = FIGURES[name][1](counts);
      if (pair) { part[k][image] += pair[0]; whole[k][image] += pair[1]; }
    });
  }
  const found = { num_hits: { value: num_hits } };
  names.forEach((name, k) => { found[name] = shareOf(part[k], whole[k]); });
  const { num_tp, num_predictions } = told, ratio = (a, b) => b ? a / b : 0;
  found.precision = { value: ratio(num_tp, num_predictions) };
  found.recall = { value: ratio(num_tp, offers.num_truth) };
  found.f1 = { value: ratio(2 * num_tp, num_predictions + offers.num_truth) };
  return found;
}

// A share of sums over images, and its 95 % interval by the variance of a ratio over independent images.
function shareOf(part, whole) {
  const sum = (values) => values.reduce((a, b) => a + b, 0), parts = sum(part), all = sum(whole);
  if (!all) return { value: null };
  const value = parts / all;
  let spread = 0;
  for (let i = 0; i < part.length; i++) spread += (part[i] - value * whole[i]) ** 2;
  const half = part.length < 2 ? 1 : 1.959964 * Math.sqrt(spread) / all;
  return { value, low: Math.max(0, value - half), high: Math.min(1, value + half) };
}
