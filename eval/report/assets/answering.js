// Answers of a run at any setting, as core.cuts and core.choosing give them: equal to eval.sweep's to the last digit.

// A run's offers with what follows from them: scores, pairs of boxes and captions, hits; null without a store.
const knownOffers = new Map();

function offersOf(run) {
  if (!knownOffers.has(run)) knownOffers.set(run, run.offers ? openedOffers(run.offers) : null);
  return knownOffers.get(run);
}

function openedOffers(told) {
  const { captions_at, boxes_at, logits, confidence, grounded, sigmoid, scored } = told, groups = captions_at.length - 1;
  const pairs_first = new Int32Array(groups + 1);
  for (let g = 0; g < groups; g++) {
    pairs_first[g + 1] = pairs_first[g] + (boxes_at[g + 1] - boxes_at[g]) * (captions_at[g + 1] - captions_at[g]);
  }
  let most = 0;
  for (let g = 0; g < groups; g++) most = Math.max(most, boxes_at[g + 1] - boxes_at[g]);
  const sureness = Float64Array.from(confidence), length = pairs_first[groups];
  let scores = null;
  if (grounded && logits.length === 0) scores = sureness;
  else if (scored) scores = Float64Array.from(logits, sigmoid ? (x) => 1 / (1 + Math.exp(-x)) : (x) => x);
  const ltwh = Float64Array.from(told.boxes);
  for (let n = 0; n < ltwh.length; n += 4) { ltwh[n + 2] -= ltwh[n]; ltwh[n + 3] -= ltwh[n + 1]; }
  const capped = sureness.map((c) => Math.min(c, 1)); // beside a scorer's it is a probability
  const offers = { ...told, groups, most, pairs_first, sureness, capped, scores, ltwh, sigmoid, prepared: {},
    alone: grounded && logits.length === 0 };
  offers.own_iou = ownOverlaps(offers, length);
  offers.hits = hitsOf(offers, length);
  return offers;
}

// The IoU of each box with the target of each caption that it overlaps most.
function ownOverlaps(o, length) {
  const own = new Float64Array(length), { images, captions } = store;
  for (let g = 0, pair = 0; g < o.groups; g++) {
    for (let n = o.boxes_at[g]; n < o.boxes_at[g + 1]; n++) {
      for (let m = o.captions_at[g]; m < o.captions_at[g + 1]; m++, pair++) {
        const first = images.targets_at[captions.image[m]];
        for (let k = captions.targets_at[m]; k < captions.targets_at[m + 1]; k++) {
          own[pair] = Math.max(own[pair], iou(images.targets, 4 * (first + captions.targets[k]), o.ltwh, 4 * n));
        }
      }
    }
  }
  return own;
}

// Whether each box hits each caption: above one half with a target of its own, by the overlaps that Python found.
function hitsOf(o, length) {
  const hits = new Uint8Array(length), { captions } = store;
  for (let g = 0; g < o.groups; g++) {
    const first = o.captions_at[g], count = o.captions_at[g + 1] - first;
    for (let p = o.pairs_at[g]; p < o.pairs_at[g + 1]; p++) {
      for (let m = 0; m < count; m++) {
        if (o.grounded && o.alone || describes(first + m, o.pair_target[p])) hits[o.pairs_first[g] + o.pair_box[p] * count + m] = 1;
      }
    }
  }
  return hits;
}

// The places, within group g, of the candidates at a setting, by falling confidence; `passed` of them pass the cuts.
function candidatesAt(o, g, setting, kept) {
  const bit = o.nms_ious.indexOf(setting.nms_iou), first = o.boxes_at[g], count = o.boxes_at[g + 1] - first;
  const least = o.fixed ? -Infinity : Math.fround(setting.confidence);
  const most = setting.max_det === null || o.fixed ? count : setting.max_det;
  let passed = 0;
  for (let n = 0; n < count && passed < most && o.confidence[first + n] >= least; n++) {
    if (o.stays[first + n] >>> bit & 1) kept[passed++] = n;
  }
  if (passed === 0 && count) kept[0] = 0; // nothing passes: the most confident stands in
  return { passed, num: passed || Math.min(1, count), bit };
}

// Room for the places of any group's candidates.
function roomFor(o) { return new Int32Array(Math.max(1, o.most)); }

// What every caption of a run gets at a setting. chosen: the place of its best box within its group, -1 for none.
function answersAt(run, setting) {
  const o = offersOf(run), kept = roomFor(o);
  const told = { setting, chosen: new Int32Array(numCaptions).fill(-1), num_boxes: new Int32Array(numCaptions),
    num_matched: new Int32Array(numCaptions), hit: new Uint8Array(numCaptions), reachable: new Uint8Array(numCaptions),
    best_iou: new Float32Array(numCaptions), num_tp: 0, num_predictions: 0 };
  for (let g = 0; g < o.groups; g++) {
    const { passed, num, bit } = candidatesAt(o, g, setting, kept), first = o.boxes_at[g];
    told.num_predictions += passed;
    for (let k = 0; k < passed; k++) told.num_tp += o.right[first + kept[k]] >>> bit & 1;
    for (let m = o.captions_at[g]; m < o.captions_at[g + 1]; m++) answerOne(o, g, m, setting, kept, num, told);
  }
  return told;
}

function answerOne(o, g, m, setting, kept, num, told) {
  const count = o.captions_at[g + 1] - o.captions_at[g], column = o.pairs_first[g] + m - o.captions_at[g];
  const found = choiceOf(o, g, m, setting, kept, num);
  for (let k = 0; k < num; k++) {
    const pair = column + kept[k] * count;
    if (o.hits[pair]) told.reachable[m] = 1;
    if (o.own_iou[pair] > told.best_iou[m]) told.best_iou[m] = o.own_iou[pair];
  }
  const is_empty = numTargetsOf(m) === 0;
  if (found.best < 0) {
    told.hit[m] = is_empty ? 1 : 0;
    return;
  }
  told.chosen[m] = found.best;
  told.hit[m] = o.hits[column + found.best * count];
  told.num_boxes[m] = found.boxes === null ? 1 : found.boxes.length;
  told.num_matched[m] = found.boxes === null ? told.hit[m] : matchesOf(o, g, m, found.boxes);
}

// The place of a caption's best candidate, and where several may answer all that do (null where one does).
function choiceOf(o, g, m, setting, kept, num) {
  if (num === 0) return { best: -1, boxes: null };
  const above = setting.select === "above", first = o.boxes_at[g];
  if (o.scores === null) return withoutScores(o, first, setting, kept, num, above);
  const way = WAYS[setting.combine], p = preparedFor(o, setting.combine);
  const count = o.captions_at[g + 1] - o.captions_at[g], column = o.pairs_first[g] + m - o.captions_at[g];
  let best = -1, most = -Infinity;
  for (let k = 0; k < num; k++) {
    const merit = way.merit(p, first + kept[k], column + kept[k] * count, setting.weight);
    if (best < 0 || merit > most) { best = kept[k]; most = merit; }
  }
  if (setting.method === "assignment" && !above) best = jointChoice(o, g, m, setting, kept, num, best);
  if (isAbsent(o, o.scores[column + best * count], setting)) return { best: -1, boxes: null };
  if (!above) return { best, boxes: null };
  const least = way.least(setting.above, o.sigmoid), boxes = [];
  for (let k = 0; k < num; k++) {
    if (way.merit(p, first + kept[k], column + kept[k] * count, setting.weight) >= least) boxes.push(kept[k]);
  }
  return { best: boxes.length ? best : -1, boxes };
}

function preparedFor(o, combine) { return o.prepared[combine] ||= WAYS[combine].prepare(o); }

// The candidate that an assignment of all the group's captions gives this one. Asked caption after caption, made once.
let joint = { key: null, chosen: null };

function jointChoice(o, g, m, setting, kept, num, best) {
  const key = JSON.stringify(setting) + g, count = o.captions_at[g + 1] - o.captions_at[g], first = o.pairs_first[g];
  if (joint.key !== key || joint.offers !== o) {
    const way = WAYS[setting.combine], p = preparedFor(o, setting.combine), merits = new Float64Array(num * count);
    for (let k = 0; k < num; k++) {
      for (let c = 0; c < count; c++) {
        merits[k * count + c] = way.merit(p, o.boxes_at[g] + kept[k], first + kept[k] * count + c, setting.weight);
      }
    }
    joint = { key, offers: o, chosen: assigned(merits, num, count, o.refusal).map((k) => k < 0 ? -1 : kept[k]) };
  }
  const found = joint.chosen[m - o.captions_at[g]];
  return found < 0 ? best : found;
}

function isAbsent(o, score, setting) {
  if (setting.absent_below === null) return false;
  return score < (o.sigmoid ? setting.absent_below : Math.fround(setting.absent_below)); // logits are single precision
}

function withoutScores(o, first, setting, kept, num, above) {
  if (o.fallback !== "confident") return { best: -1, boxes: null };
  if (!above) return { best: kept[0], boxes: null };
  const boxes = Array.from(kept.subarray(0, num)).filter((n) => o.sureness[first + n] >= setting.above);
  return { best: boxes.length ? kept[0] : -1, boxes };
}

// How many boxes match a target of the caption one to one, greedily by falling overlap.
function matchesOf(o, g, m, boxes) {
  const pairs = [];
  for (let p = o.pairs_at[g]; p < o.pairs_at[g + 1]; p++) {
    if (boxes.includes(o.pair_box[p]) && (o.alone || describes(m, o.pair_target[p]))) pairs.push(p);
  }
  pairs.sort((a, b) => o.pair_iou[b] - o.pair_iou[a] || o.pair_box[a] - o.pair_box[b] || o.pair_target[a] - o.pair_target[b]);
  const used_boxes = new Set(), used_targets = new Set();
  for (const p of pairs) {
    if (used_boxes.has(o.pair_box[p]) || used_targets.has(o.pair_target[p])) continue;
    used_boxes.add(o.pair_box[p]);
    used_targets.add(o.pair_target[p]);
  }
  return used_boxes.size;
}
