// What became of every caption in a view: a run as it is, or as it would be at another setting.

// A run as it answered.
function viewAsIs(run) {
  const facet = (name) => run.facets[name], word = (name) => (m) => facet(name) ? facet(name).names[facet(name).of[m]] : null;
  return { run, setting: null, told: null, fate: run.fate, hit: run.fate.map((f) => f === FATE.right ? 1 : 0), exact: run.exact,
    best_iou: run.best_iou, answered: word("answered"), value: (name, m) => run[name][m], answers: (m) => answersOf(run, m) };
}

function answersOf(run, m) {
  const boxes = [];
  for (let k = run.answers_at[m]; k < run.answers_at[m + 1]; k++) boxes.push(Array.from(run.answers.subarray(4 * k, 4 * k + 4)));
  return boxes;
}

// A run as it would answer at a setting.
function viewAt(run, setting) {
  const o = offersOf(run), told = answersAt(run, setting), fate = new Uint8Array(numCaptions);
  const exact = new Uint8Array(numCaptions), taken = new Int32Array(numCaptions).fill(-2), overlap = new Float32Array(numCaptions);
  for (let g = 0; g < o.groups; g++) {
    for (let m = o.captions_at[g]; m < o.captions_at[g + 1]; m++) {
      exact[m] = isExact(countsOf(told, m)) ? 1 : 0;
      const shown = told.chosen[m] < 0 ? null : takenBy(m, o.ltwh, 4 * (o.boxes_at[g] + told.chosen[m]));
      if (shown) [taken[m], overlap[m]] = [shown.taken, shown.own];
      fate[m] = fateOf(told, m, shown);
    }
  }
  const kinds = store.captions.facets.kind;
  const answered = (m) => taken[m] === -2 ? "no answer" : taken[m] === -1 ? "background" : kinds.names[kinds.of[taken[m]]];
  return { run, setting, told, fate, hit: told.hit, exact, best_iou: told.best_iou, answered,
    value: (name, m) => name === "iou" ? overlap[m] : name === "margin" ? marginAt(o, m, setting) : sureAt(o, told, name, m),
    answers: (m) => candidatesOf(run, m, setting).filter((c) => c.chosen).map((c) => c.ltwh) };
}

function fateOf(told, m, shown) {
  if (told.hit[m]) return FATE.right;
  if (numTargetsOf(m) === 0) return FATE.alarm;
  if (!told.reachable[m]) return told.best_iou[m] <= TOUCH_IOU ? FATE.missed : FATE.mislocated;
  if (!shown) return FATE.none;
  if (shown.own > TOUCH_IOU && shown.own >= shown.best) return FATE.loose;
  return shown.taken === -1 ? FATE.background : FATE.other;
}

function groupOf(o, m) {
  let low = 0, high = o.groups;
  while (high - low > 1) { const middle = (low + high) >> 1; if (o.captions_at[middle] <= m) low = middle; else high = middle; }
  while (o.captions_at[low + 1] <= m) low++; // groups without captions
  return low;
}

function pairOf(o, g, m, n) {
  return o.pairs_first[g] + n * (o.captions_at[g + 1] - o.captions_at[g]) + m - o.captions_at[g];
}

function sureAt(o, told, name, m) {
  if (told.chosen[m] < 0) return NaN;
  const g = groupOf(o, m), n = told.chosen[m];
  if (name === "confidence") return o.sureness[o.boxes_at[g] + n];
  return o.scores === null ? NaN : o.scores[pairOf(o, g, m, n)];
}

// The best right candidate's score minus the best other's, in log-odds of probabilities, as eval.report.margins has it.
function marginAt(o, m, setting) {
  if (o.scores === null) return NaN;
  const g = groupOf(o, m), kept = roomFor(o), { num } = candidatesAt(o, g, setting, kept);
  let right = -Infinity, other = -Infinity;
  for (let k = 0; k < num; k++) {
    const pair = pairOf(o, g, m, kept[k]), score = logOdds(o, o.scores[pair]);
    if (o.hits[pair]) right = Math.max(right, score); else other = Math.max(other, score);
  }
  return Number.isFinite(right) && Number.isFinite(other) ? right - other : NaN;
}

function logOdds(o, score) {
  if (!o.sigmoid) return score;
  const p = Math.min(Math.max(score, 1e-12), 1 - 1e-12);
  return Math.log(p) - Math.log1p(-p);
}

// A caption's candidates by falling score: those of the run's own setting, or of another one.
function candidatesOf(run, m, setting) {
  const o = offersOf(run);
  if (!o) return [];
  const at = setting || o.own, g = groupOf(o, m), kept = roomFor(o), { num } = candidatesAt(o, g, at, kept);
  const found = setting ? choiceOf(o, g, m, at, kept, num) : null, answers = setting ? [] : answersOf(run, m);
  const chosen = found === null ? null : new Set(found.boxes || (found.best < 0 ? [] : [found.best]));
  const told = Array.from(kept.subarray(0, num)).map((n) => {
    const box = 4 * (o.boxes_at[g] + n), ltwh = Array.from(o.ltwh.subarray(box, box + 4));
    return { n, ltwh, xyxy: Array.from(o.boxes.subarray(box, box + 4)), confidence: o.sureness[o.boxes_at[g] + n],
      score: o.scores === null ? null : o.scores[pairOf(o, g, m, n)], iou: o.own_iou[pairOf(o, g, m, n)],
      right: o.hits[pairOf(o, g, m, n)] === 1,
      chosen: chosen ? chosen.has(n) : answers.some((a) => a.every((v, k) => Math.abs(v - ltwh[k]) < 0.01)) };
  });
  return told.sort((a, b) => (b.score ?? b.confidence) - (a.score ?? a.confidence) || a.n - b.n);
}
