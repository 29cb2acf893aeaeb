// The frames in which motions stand: their names, captions, and tags over figures that share a floor.
import { button, element, icon } from './dom.js';
import { mark } from './theme.js';

const TAG_GAP = 6;

function heading(clip, variables, player) {
  const text = `${clip.index + 1} · ${clip.title}`;
  const name = element('span', { class: 'name', title: `${clip.title} (${clip.group})` }, text);
  const parts = [mark(clip.group, variables[clip.group]), name, element('span', { class: 'kind' }, clip.group)];
  if (player.state.view === 'all' && player.clips.length > 1) parts.push(...gallery(clip, player));
  return element('div', { class: 'label' }, ...parts);
}

// In the gallery the name opens the motion, and a button marks it for the comparison.
function gallery(clip, player) {
  const { marked } = player.state;
  const on = marked.includes(clip.index);
  const choose = button(`Compare motion ${clip.index + 1}`, icon(on ? 'done' : 'add'), () => player.mark(clip.index));
  choose.className = 'choose';
  choose.setAttribute('aria-pressed', String(on));
  const open = button(`Show motion ${clip.index + 1}, ${clip.title}, large`, '', () => player.open(clip.index));
  open.className = 'open';
  return [choose, open];
}

export function makeCell(entries, player) {
  const made = element('div', { class: 'cell' });
  if (entries.length === 1) {
    const [{ clip }] = entries;
    made.dataset.index = String(clip.index);
    made.append(heading(clip, player.variables, player));
    if (player.state.view !== 'all' && clip.caption) made.append(element('p', { class: 'caption', title: clip.caption }, clip.caption));
  } else {
    made.classList.add('shared');
    made.tags = entries.map(({ clip }) => tag(clip, player.variables[clip.group]));
    const captions = entries.filter(({ clip }) => clip.caption).map(({ clip }) =>
      element('p', { class: 'caption', title: clip.caption }, `${clip.index + 1} · ${clip.caption}`));
    made.append(...made.tags, element('div', { class: 'captions' }, ...captions));
  }
  for (const button of made.querySelectorAll('button')) {
    button.addEventListener('pointerdown', (event) => event.stopPropagation());
  }
  return made;
}

// Pixels that text takes from a cell's picture, at its upper and its lower end.
export function textAbove(node) {
  const last = [...node.querySelectorAll(':scope > .label, :scope > .caption')].pop();
  return last ? last.offsetTop + last.offsetHeight : 0;
}

export function textBelow(node) {
  const captions = node.querySelector('.captions');
  return captions?.childElementCount ? captions.offsetHeight + 8 : 0;
}

function tag(clip, variable) {
  const made = element('div', { class: 'tag' }, mark(clip.group, variable),
    element('span', { class: 'name' }, `${clip.index + 1} · ${clip.title}`), element('small', {}, clip.group));
  made.style.borderColor = `var(${variable})`;
  return made;
}

// Whether a motion has not begun or is over while others of the cell's comparison move on.
export function holds({ clip, delay }, frame) {
  if (frame < delay) return 'waits';
  return frame > delay + clip.frames - 1 + 1e-6 ? 'ended' : '';
}

export function showHeld(cell, frame) {
  const { node, framing } = cell;
  const carriers = node.tags ?? [node.firstElementChild];
  framing.entries.forEach((entry, i) => {
    const now = holds(entry, frame);
    if (carriers[i].dataset.held !== now) carriers[i].dataset.held = now;
  });
}

// Puts every tag above its figure's head, then apart from its neighbours and inside the cell.
export function placeTags({ node, heads, box }) {
  if (!node.tags) return;
  const sizes = node.tags.map((made) => [made.offsetWidth, made.offsetHeight]);
  const order = heads.map((_, i) => i).sort((a, b) => heads[a][0] - heads[b][0]);
  const placed = [];
  for (const i of order) {
    const [width, height] = sizes[i];
    const top = box.top - node.offsetTop;
    const inside = (value, size, room) => Math.min(Math.max(value, 4), room - size - 4);
    const x = inside(heads[i][0] - box.left - width / 2, width, box.width);
    let y = inside(heads[i][1] - node.offsetTop - height - 4, height, top + box.height);
    const hit = () => placed.find((p) => x < p.x + p.width + TAG_GAP && p.x < x + width + TAG_GAP
      && y < p.y + p.height + 2 && p.y < y + height + 2);
    for (let other = hit(), tries = 0; other && tries < 12; other = hit(), tries++) {
      y = other.y - height - 3 < 4 ? other.y + other.height + 3 : other.y - height - 3;
    }
    placed.push({ x, y, width, height });
    node.tags[i].style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
  }
}
