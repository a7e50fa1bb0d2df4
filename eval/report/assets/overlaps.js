// Overlaps of boxes, and what became of a caption: the rules of eval.answers.outcomes and eval.attribution.
const HIT_IOU = 0.5, TOUCH_IOU = 0.1;
const FATE = { right: 0, missed: 1, mislocated: 2, loose: 3, other: 4, background: 5, none: 6, alarm: 7 };

// Intersection over union of two boxes of left, top, width, height in arrays, from places on.
function iou(a, i, b, j) {
  const width = Math.min(a[i] + a[i + 2], b[j] + b[j + 2]) - Math.max(a[i], b[j]);
  const height = Math.min(a[i + 1] + a[i + 3], b[j + 1] + b[j + 3]) - Math.max(a[i + 1], b[j + 1]);
  if (width <= 0 || height <= 0) return 0;
  const overlap = width * height;
  return overlap / (a[i + 2] * a[i + 3] + b[j + 2] * b[j + 3] - overlap);
}

// What a box shows that answers caption m: the number of a caption, -1 background; and its IoU with the caption's own.
function takenBy(m, boxes, at) {
  const { images, captions } = store, image = captions.image[m], first = images.targets_at[image];
  let best = 0, bestTarget = -1, own = 0;
  for (let t = first; t < images.targets_at[image + 1]; t++) {
    const overlap = iou(images.targets, 4 * t, boxes, at);
    if (overlap > best) [best, bestTarget] = [overlap, t - first];
    if (describes(m, t - first)) own = Math.max(own, overlap);
  }
  if (best <= TOUCH_IOU) return { taken: -1, own, best };
  if (own >= best) return { taken: m, own, best };
  return { taken: describedBy(image, bestTarget), own, best };
}

function describes(m, target) {
  const { targets, targets_at } = store.captions;
  for (let k = targets_at[m]; k < targets_at[m + 1]; k++) if (targets[k] === target) return true;
  return false;
}

const captionsOfImages = (() => {
  let known;
  return () => {
    if (known) return known;
    known = store.images.names.map(() => []);
    store.captions.image.forEach((image, m) => known[image].push(m));
    return known;
  };
})();

function describedBy(image, target) { return captionsOfImages()[image].find((m) => describes(m, target)); }
