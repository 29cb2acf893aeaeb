// How many columns make the cells largest, and how many cells stay legible on one page.

const GAP = 10;

export function columnsFor(count, width, height) {
  let best = { columns: 1, size: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const across = (width - GAP * (columns - 1)) / columns;
    const down = (height - GAP * (rows - 1)) / rows;
    const size = Math.min(across / 0.9, down);
    if (size > best.size) best = { columns, size };
  }
  return best;
}

export function perPage(count, width, height) {
  let fitting = count;
  while (fitting > 1 && columnsFor(fitting, width, height).size < 150) fitting--;
  return fitting;
}

const APART = 0.35; // metres between neighbours on one floor, at reference size
const WIDEST = 1.4; // metres from a figure's middle, at reference size, that count as its reach

// Where each motion of a cell stands and when it begins. On one floor they stand in a row, left to right.
export function arrangement(clips, { layout, sync, view }, frames) {
  const late = view === 'compare' && sync === 'end';
  const row = clips.length > 1 && layout === 'floor';
  const reach = (clip) => Math.min(Math.max(...clip.extent.moving.map(({ radius }) => radius)), WIDEST * clip.size);
  const seen = {};
  let edge = 0;
  const entries = clips.map((clip) => {
    const half = row ? reach(clip) + (APART / 2) * clip.size : 0;
    const x = edge + half;
    edge += 2 * half;
    const tone = clips.length > 1 ? (seen[clip.group] = (seen[clip.group] ?? -1) + 1) : 0;
    return { clip, shift: [x, 0], delay: late ? frames - clip.frames : 0, tone };
  });
  for (const entry of entries) entry.shift[0] -= edge / 2;
  return entries;
}
