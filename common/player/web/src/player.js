// The player: one state, changed in one place, from which cells, controls and address follow.
import { LAYOUTS, MOST, readAddress, SPEEDS, writeAddress } from './address.js';
import { Bar } from './bar.js';
import { makeCell, placeTags, showHeld, textAbove, textBelow } from './cells.js';
import { Comparison } from './comparison.js';
import { element } from './dom.js';
import { Filter } from './filter.js';
import { Framing } from './framing.js';
import { helpDialog, onKey } from './keys.js';
import { arrangement, columnsFor, perPage } from './layout.js';
import { Stage } from './stage.js';
import { groupColours, readTheme } from './theme.js';

const USUAL = {
  frame: 0, playing: true, speed: '1', loop: true, view: 'all', motion: 0, page: 0, compared: [], marked: [],
  layout: 'side', sync: 'start', groups: null, label: '', follow: true, trail: true,
};
const HEADING = 0.35; // of a cell's height: the most that names and captions may take from its picture

export class Player {
  constructor(root, { rate, clips }, embedded) {
    Object.assign(this, { root, rate, clips, embedded });
    this.variables = groupColours(clips);
    this.state = { ...USUAL, playing: !matchMedia('(prefers-reduced-motion: reduce)').matches };
    this.build();
    this.stage = new Stage(this.area, this.canvas, embedded);
    this.stage.onchange = () => (this.dirty = true);
    this.stage.onend = () => this.remember();
    this.paint();
    this.follow(location.hash);
    this.listen();
    requestAnimationFrame((now) => this.tick(now));
  }

  build() {
    this.canvas = element('canvas', { 'aria-hidden': 'true' });
    this.grid = element('div', { class: 'cells' });
    this.area = element('div', { class: 'stage', tabindex: '0', role: 'group' }, this.grid, this.canvas);
    this.area.setAttribute('aria-label', 'Motion in three dimensions: drag to turn, space to play or pause, ? for all keys');
    this.filter = new Filter(this);
    this.comparison = new Comparison(this);
    this.bar = new Bar(this);
    this.help = helpDialog();
    this.area.append(this.help);
    this.root.replaceChildren(this.filter.root, this.comparison.root, this.area, this.bar.root);
  }

  listen() {
    new ResizeObserver(() => this.arrange()).observe(this.area);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.paint());
    if (!this.embedded) addEventListener('hashchange', () => this.follow(location.hash));
    // After a click the keys belong to the stage; who came by keyboard stays on the button.
    this.root.addEventListener('click', (event) =>
      event.detail && !event.target.closest('select, dialog') && !this.help.open && this.area.focus({ preventScroll: true }));
    (this.embedded ? this.root : document).addEventListener('keydown', (event) => onKey(this, event));
    this.area.addEventListener('pointerdown', (event) => (this.pressed = [event.clientX, event.clientY]), true);
    this.area.addEventListener('pointerup', (event) => this.tap(event), true);
    if ('IntersectionObserver' in window) {
      new IntersectionObserver(([entry]) => (this.offscreen = !entry.isIntersecting)).observe(this.area);
    }
  }

  // An address says all that is unusual; what it leaves out is as in a page just opened.
  follow(hash) {
    const { frame, playing } = this.state;
    const start = readAddress(this.root.dataset.start ?? '', this.clips);
    const { camera, ...state } = { ...start, ...readAddress(hash, this.clips) };
    this.stage.reset();
    this.change({ ...USUAL, frame, playing, ...state });
    if (camera) this.stage.view = camera;
  }

  // Writes the state into the address, so that it can be copied; a report's address is the report's.
  remember() {
    if (this.embedded || this.state.playing) return;
    const address = writeAddress(this.state, USUAL, this.stage.view);
    if (address === location.hash) return;
    try {
      history.replaceState(null, '', address);
    } catch {
      // Some browsers forbid it in frames: the page works without.
    }
  }

  change(patch) {
    Object.assign(this.state, patch);
    this.settle();
    this.filter.show(this.state);
    this.comparison.show(this.state);
    this.arrange();
    this.remember();
  }

  // Makes the state one that can be shown: a motion of the chosen groups, at least two to compare.
  settle() {
    const { state, clips } = this;
    const fits = (clip) => (!state.groups || state.groups.includes(clip.group)) && (!state.label || clip.label === state.label);
    this.pool = clips.filter(fits);
    if (!this.pool.length) {
      state.label = '';
      this.pool = clips.filter(fits);
    }
    if (!this.pool.includes(clips[state.motion])) state.motion = this.pool[0].index;
    if (clips.length < 2) state.view = 'one';
    if (state.view !== 'compare') return;
    if (state.marked.length) state.compared = state.marked;
    if (state.compared.length < 2) {
      const first = state.compared[0] ?? state.motion;
      state.compared = [first, this.partner(clips[first]).index];
    }
    state.marked = [];
    const order = Object.keys(this.variables);
    const rank = (index) => order.indexOf(clips[index].group);
    state.compared = [...state.compared].sort((a, b) => rank(a) - rank(b) || a - b);
  }

  // The motion to set beside this one: of another group, of the same title or label, if there is one.
  partner(clip) {
    const rest = this.clips.filter((other) => other !== clip);
    const others = rest.filter((other) => other.group !== clip.group);
    const among = others.length ? others : rest;
    const same = (name) => among.find((other) => other[name] && other[name] === clip[name]);
    return same('title') ?? same('label') ?? among[clip.index % among.length];
  }

  mark(index) {
    const { marked } = this.state;
    const next = marked.includes(index) ? marked.filter((other) => other !== index) : [...marked, index];
    this.change({ marked: next.slice(-MOST) });
    this.grid.querySelector(`[data-index="${index}"] .choose`)?.focus();
  }

  open(index) {
    this.change({ motion: index, view: 'one' });
  }

  step(by) {
    const { state, pool } = this;
    if (state.view === 'all') return this.change({ page: (state.page + by + this.pages) % this.pages });
    if (state.view === 'compare') return undefined;
    const at = pool.indexOf(this.clips[state.motion]);
    return this.change({ motion: pool[(at + by + pool.length) % pool.length].index });
  }

  faster(by) {
    const at = SPEEDS.indexOf(this.state.speed) + by;
    if (SPEEDS[at]) this.change({ speed: SPEEDS[at] });
  }

  nextLayout() {
    if (this.state.view !== 'compare') return;
    this.change({ layout: LAYOUTS[(LAYOUTS.indexOf(this.state.layout) + 1) % LAYOUTS.length] });
  }

  play(playing) {
    const { state } = this;
    if (playing && !state.loop && state.frame >= this.frames - 1) state.frame = 0;
    state.playing = playing;
    if (!playing) state.frame = Math.round(state.frame);
    this.refresh();
  }

  still(frame) {
    this.state.playing = false;
    this.state.frame = Math.min(Math.max(frame, 0), this.frames - 1);
    this.refresh();
  }

  nudge(by) {
    this.still(by < 0 ? Math.ceil(this.state.frame) - 1 : Math.floor(this.state.frame) + 1);
  }

  refresh() {
    this.bar.playing(this.state.playing);
    this.dirty = true;
    this.remember();
  }

  paint() {
    this.stage.paint(readTheme(this.root, this.variables));
    this.dirty = true;
  }

  // A tap that is no drag opens a motion of the gallery.
  tap(event) {
    if (!this.pressed || this.state.view !== 'all' || event.target.closest('button')) return;
    const moved = Math.hypot(event.clientX - this.pressed[0], event.clientY - this.pressed[1]);
    const hit = document.elementsFromPoint(event.clientX, event.clientY).find((e) => e.classList.contains('cell'));
    if (moved <= 5 && hit) this.open(Number(hit.dataset.index));
  }

  // Which motions share which cell.
  groupsOfCells(width, height) {
    const { state, clips, pool } = this;
    this.size = perPage(pool.length, width, height);
    this.pages = Math.ceil(pool.length / this.size);
    state.page = Math.min(state.page, this.pages - 1);
    if (state.view === 'one') return [[clips[state.motion]]];
    if (state.view === 'all') return pool.slice(state.page * this.size, (state.page + 1) * this.size).map((clip) => [clip]);
    const compared = state.compared.map((index) => clips[index]);
    return state.layout === 'side' ? compared.map((clip) => [clip]) : [compared];
  }

  // Lays the cells out and measures where they ended up.
  arrange() {
    const { state } = this;
    this.root.dataset.view = state.view;
    const { width, height } = this.area.getBoundingClientRect();
    if (!width || !height) return;
    this.stage.resize();
    const shown = this.groupsOfCells(width, height);
    this.frames = Math.max(...shown.flat().map((clip) => clip.frames));
    const ordered = shown.map((clips) => arrangement(clips, state, this.frames));
    const nodes = ordered.map((entries) => makeCell(entries, this));
    this.grid.style.gridTemplateColumns = `repeat(${columnsFor(shown.length, width, height).columns}, 1fr)`;
    this.grid.replaceChildren(...nodes);
    this.stage.start(state.view === 'compare' && state.layout === 'floor');
    this.measure(nodes, ordered);
    this.bar.show(state, this.pool, this.pages);
    state.frame = Math.min(state.frame, this.frames - 1);
    this.dirty = true;
  }

  // The same room for names and captions in every cell, so that figures side by side stand at one height.
  measure(nodes, ordered) {
    const origin = this.area.getBoundingClientRect();
    const taken = nodes.map((node) => [textAbove(node), textBelow(node)]);
    const most = [0, 1].map((end) => Math.max(...taken.map((pair) => pair[end])));
    this.cells = ordered.map((entries, i) => {
      const { left, top, width, height } = nodes[i].getBoundingClientRect();
      const [above, below] = most.map((pixels) => Math.min(pixels, HEADING * height));
      const framing = new Framing(entries, this.frames, this.state.follow);
      const box = { left: left - origin.left, top: top - origin.top + above, width, height: height - above - below };
      return { node: nodes[i], framing, box };
    });
  }

  advance(seconds) {
    const { state } = this;
    const next = state.frame + seconds * this.rate * Number(state.speed);
    if (state.loop) state.frame = next % this.frames;
    else if (next >= this.frames - 1) this.still(this.frames - 1);
    else state.frame = next;
    this.dirty = true;
  }

  tick(now) {
    requestAnimationFrame((next) => this.tick(next));
    const passed = Math.min((now - (this.last ?? now)) / 1000, 0.25);
    this.last = now;
    if (this.offscreen || !this.cells) return;
    if (this.state.playing && this.frames > 1) this.advance(passed);
    if (!this.dirty) return;
    this.dirty = false;
    const { frame, view, trail } = this.state;
    const spacing = this.stage.render(this.cells, frame, { alike: view === 'compare', trail });
    this.report(Math.min(Math.round(frame), this.frames - 1), spacing);
  }

  report(frame, spacing) {
    this.bar.time(frame, this.frames, this.rate);
    for (const cell of this.cells) {
      placeTags(cell);
      if (this.state.view === 'compare') showHeld(cell, frame);
    }
    const text = spacing < 1 ? `${Math.round(spacing * 100)} cm` : `${spacing} m`;
    this.filter.note.textContent = `darker limbs: right side · grid: ${text}`;
    this.root.dataset.ready = 'true';
  }
}
