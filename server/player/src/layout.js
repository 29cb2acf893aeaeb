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
