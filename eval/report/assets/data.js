// The records of the page: numbers out of base64, images out of their lines, both only when they are asked for.
const ARRAYS = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };

function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) bytes[n] = text.charCodeAt(n);
  return bytes;
}

// The same record with typed arrays for packed ones, each made at the first look at it.
function unpacked(record) {
  if (Array.isArray(record) || record === null || typeof record !== "object") return record;
  if (typeof record.b === "string" && ARRAYS[record.t]) return new ARRAYS[record.t](bytesOf(record.b).buffer);
  const told = {};
  for (const [name, value] of Object.entries(record)) {
    let known;
    const get = () => known === undefined ? (known = unpacked(value)) : known;
    Object.defineProperty(told, name, { enumerable: true, get });
  }
  return told;
}

const store = (() => {
  const element = document.getElementById("records");
  if (!element) return null;
  const told = JSON.parse(element.textContent);
  return { ...told, images: unpacked(told.images), captions: unpacked(told.captions), runs: told.runs.map(unpacked) };
})();

const numCaptions = store ? store.captions.image.length : 0;

function captionOf(m) { const { names, of } = store.captions.words; return names[of[m]]; }
function imageNameOf(m) { return store.images.names[store.captions.image[m]]; }

// [left, top, width, height] of each target that a caption describes.
function targetsOf(m) {
  const { captions, images } = store, first = images.targets_at[captions.image[m]], boxes = [];
  for (let k = captions.targets_at[m]; k < captions.targets_at[m + 1]; k++) {
    const at = 4 * (first + captions.targets[k]);
    boxes.push(Array.from(images.targets.subarray(at, at + 4)));
  }
  return boxes;
}

function numTargetsOf(m) { return store.captions.targets_at[m + 1] - store.captions.targets_at[m]; }

// Images: one address a line, made when it is first shown, the oldest given back when there are many.
const pictures = (() => {
  const lines = {}, known = new Map();
  const line = (kind, image) => (lines[kind] ||= document.getElementById(kind).textContent.split("\n"))[image];
  return (kind, image) => {
    const key = kind + image;
    if (known.has(key)) return known.get(key);
    const base64 = line(kind, image);
    const address = base64 ? URL.createObjectURL(new Blob([bytesOf(base64)], { type: "image/webp" })) : null;
    known.set(key, address);
    if (known.size > 800) {
      const oldest = known.keys().next().value;
      if (known.get(oldest)) URL.revokeObjectURL(known.get(oldest));
      known.delete(oldest);
    }
    return address;
  };
})();

// Where an image's file lies beside the page, null where that is not known. Its name can name no other place.
function fileOf(image) {
  const { beside, names } = store.images;
  if (beside === null || !store.images.sizes[2 * image]) return null;
  return "./" + beside + "/" + names[image].split("/").map(encodeURIComponent).join("/");
}

// The place in an image's sheet of the crop of a box, null where it has none. Pixels are rounded as crops are cut.
function cellOf(image, xyxy) {
  const { cells, cells_at } = store.images;
  let best = null, least = 3;
  for (let k = cells_at[image]; k < cells_at[image + 1]; k++) {
    let apart = 0;
    for (let side = 0; side < 4; side++) apart = Math.max(apart, Math.abs(cells[4 * k + side] - xyxy[side]));
    if (apart < least) [best, least] = [k, apart];
  }
  if (best === null) return null;
  const place = best - cells_at[image], [left, top, right, bottom] = cells.subarray(4 * best, 4 * best + 4);
  const scale = store.cell / Math.max(right - left, bottom - top), count = cells_at[image + 1] - cells_at[image];
  return { x: store.cell * (place % store.columns), y: store.cell * Math.floor(place / store.columns),
    width: Math.max(1, (right - left) * scale), height: Math.max(1, (bottom - top) * scale),
    sheet: [store.cell * Math.min(store.columns, count), store.cell * Math.ceil(count / store.columns)] };
}
