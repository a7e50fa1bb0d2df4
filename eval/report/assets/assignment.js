// All captions of an image together, one candidate each, with the highest sum of merits: core.posterior.assign_or_refuse.

// The column of each row with the lowest sum of costs, by the Hungarian method; rows no more than columns.
function cheapest(costs, rows, columns) {
  const u = new Float64Array(rows + 1), v = new Float64Array(columns + 1);
  const row_of = new Int32Array(columns + 1), way = new Int32Array(columns + 1);
  for (let i = 1; i <= rows; i++) {
    row_of[0] = i;
    let j0 = 0;
    const least = new Float64Array(columns + 1).fill(Infinity), used = new Uint8Array(columns + 1);
    do {
      used[j0] = 1;
      const i0 = row_of[j0];
      let delta = Infinity, j1 = -1;
      for (let j = 1; j <= columns; j++) {
        if (used[j]) continue;
        const cost = costs[(i0 - 1) * columns + j - 1] - u[i0] - v[j];
        if (cost < least[j]) { least[j] = cost; way[j] = j0; }
        if (least[j] < delta) { delta = least[j]; j1 = j; }
      }
      for (let j = 0; j <= columns; j++) {
        if (used[j]) { u[row_of[j]] += delta; v[j] -= delta; } else least[j] -= delta;
      }
      j0 = j1;
    } while (row_of[j0] !== 0);
    do { const j1 = way[j0]; row_of[j0] = row_of[j1]; j0 = j1; } while (j0);
  }
  const found = new Int32Array(rows).fill(-1);
  for (let j = 1; j <= columns; j++) if (row_of[j]) found[row_of[j] - 1] = j - 1;
  return found;
}

// The candidate of each of M captions, by (N, M) merits; -1 where it keeps its best. refusal: as core.choosing has it.
function assigned(merits, num, count, refusal) {
  const best = Array.from({ length: count }, (_, m) => { let most = -Infinity; for (let n = 0; n < num; n++) most = Math.max(most, merits[n * count + m]); return most; });
  const width = refusal === null ? num : num + count, never = 1e12, cost = (m, n) => n < num ? -merits[n * count + m]
    : n - num === m ? refusal - best[m] : never;
  const captions_first = count <= width, rows = captions_first ? count : width, columns = captions_first ? width : count;
  const costs = new Float64Array(rows * columns);
  for (let m = 0; m < count; m++) for (let n = 0; n < width; n++) costs[captions_first ? m * columns + n : n * columns + m] = cost(m, n);
  const found = cheapest(costs, rows, columns), chosen = new Int32Array(count).fill(-1);
  found.forEach((column, row) => {
    const [m, n] = captions_first ? [row, column] : [column, row];
    if (n >= 0 && n < num && m >= 0) chosen[m] = n;
  });
  return chosen;
}
