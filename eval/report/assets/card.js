// One caption as a card: its image with boxes, what became of it, and the crops of its candidates.
const CROP_SIDE = 44, MOST_CROPS = 6;

function rectangle(ltwh, kind) {
  const [x, y, width, height] = ltwh;
  return draw("rect", { class: "box " + kind, x, y, width: Math.max(width, 0), height: Math.max(height, 0) });
}

// The image with a caption's boxes, in the image's own pixels; whole: the image's file where it lies beside the page.
function sceneOf(m, views, whole) {
  const image = store.captions.image[m], [width, height] = store.images.sizes.subarray(2 * image, 2 * image + 2);
  const thumbnail = pictures("thumbnails", image), label = `${captionOf(m)} in ${imageNameOf(m)}`;
  const boxes = views.flatMap((view, k) => view.answers(m).map((box) => {
    const right = view.hit[m] ? "right" : "wrong", earlier = views.length > 1 && k === 0;
    return rectangle(box, right + (earlier ? " earlier" : ""));
  }));
  const targets = targetsOf(m).flatMap((box) => [rectangle(box, "under"), rectangle(box, "true")]);
  if (!width) return draw("svg", { class: "scene", viewBox: frameOf([...targetsOf(m), ...views.flatMap((v) => v.answers(m))]),
    role: "img", "aria-label": label }, boxes, targets);
  const picture = draw("image", { width, height, href: whole || thumbnail });
  if (whole) picture.addEventListener("error", () => picture.setAttribute("href", thumbnail), { once: true });
  return draw("svg", { class: "scene", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, picture, boxes, targets);
}

// Of an image that cannot be shown: a frame that holds the boxes.
function frameOf(boxes) {
  if (!boxes.length) return "0 0 4 3";
  const right = Math.max(...boxes.map((b) => b[0] + b[2])), bottom = Math.max(...boxes.map((b) => b[1] + b[3]));
  return `0 0 ${right * 1.05} ${bottom * 1.05}`;
}

// A crop, from its image's sheet or else from the thumbnail.
function cropOf(image, xyxy, side, label) {
  const cell = cellOf(image, xyxy), [width, height] = store.images.sizes.subarray(2 * image, 2 * image + 2);
  if (!width) return null;
  const from = cell || { x: xyxy[0], y: xyxy[1], width: Math.max(1, xyxy[2] - xyxy[0]), height: Math.max(1, xyxy[3] - xyxy[1]),
    sheet: [width, height] };
  const scale = side / Math.max(from.width, from.height), href = pictures(cell ? "sheets" : "thumbnails", image);
  return draw("svg", { class: "crop", viewBox: `${from.x} ${from.y} ${from.width} ${from.height}`, width: from.width * scale,
    height: from.height * scale, preserveAspectRatio: "none", role: "img", "aria-label": label },
    draw("image", { width: from.sheet[0], height: from.sheet[1], href, preserveAspectRatio: "none" }));
}

function xyxyOf([x, y, width, height]) { return [x, y, x + width, y + height]; }

// The target's crop, then those of a view's candidates by falling score.
function cropsOf(m, view, title) {
  const image = store.captions.image[m], items = [];
  for (const box of targetsOf(m).slice(0, 1)) {
    const crop = cropOf(image, xyxyOf(box), CROP_SIDE, "the target");
    if (crop) items.push(make("li", { class: "truth" }, make("b", {}, crop), make("span", {}, "target")));
  }
  const shown = candidatesOf(view.run, m, view.setting).slice(0, MOST_CROPS);
  const offered = shown.length ? shown : view.answers(m).map((ltwh) => ({ xyxy: xyxyOf(ltwh), score: null, chosen: true, right: view.hit[m] === 1 }));
  offered.forEach((c, n) => {
    const worth = c.score ?? c.confidence, label = `candidate ${n + 1}${c.chosen ? ", chosen" : ""}${c.right ? ", right" : ""}`;
    const crop = cropOf(image, c.xyxy, CROP_SIDE, label);
    items.push(make("li", { class: (c.chosen ? "chosen " : "") + (c.right ? "good" : ""), title: label }, make("b", {}, crop),
      make("span", {}, worth === undefined ? "" : fixed(worth, worth < 0.1 && worth > 0 ? 3 : 2))));
  });
  return make("ol", { class: "crops", "aria-label": title }, items);
}

function tagOf(view, m, title) {
  const fate = store.fates[view.fate[m]], stage = store.stages[view.fate[m]];
  return [title ? make("span", { class: "whose" }, title) : null, make("span", { class: "tag " + stage, title: store.why[view.fate[m]] }, fate),
    ` IoU ${fixed(view.value("iou", m), 2)}`];
}

// titles: of the views, the earlier first; one view has none.
function cardOf(m, place, count, views, titles) {
  const now = views[views.length - 1], address = addressOf({ caption: m });
  const outcome = views.length > 1 ? [make("span", { class: "outcome" }, outcomeOf(now, views[0], m)), " "] : [];
  return make("li", { class: "card", "data-caption": m, "aria-setsize": count, "aria-posinset": place + 1 },
    make("a", { class: "open", href: address, tabindex: -1, "aria-hidden": "true" }, sceneOf(m, views, null)),
    make("h3", {}, make("a", { href: address, class: "name" }, captionOf(m))),
    make("p", { class: "meta" }, outcome, views.map((view, k) => [tagOf(view, m, titles[k]), k < views.length - 1 ? " · " : ""])),
    make("p", { class: "meta file", title: imageNameOf(m) }, imageNameOf(m)),
    views.map((view, k) => cropsOf(m, view, titles[k] ? `crops of ${titles[k]}` : "crops: the target, then candidates by score")));
}
