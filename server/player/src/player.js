// The player's state and controls: which clips are shown, at which frame, how fast.
import { readClips } from './clips.js';
import { button, element, icon, segmented } from './dom.js';
import { columnsFor, perPage } from './layout.js';
import { Stage } from './stage.js';
import { groupColours, readTheme } from './theme.js';

const SPEEDS = ['0.25', '0.5', '1', '2'];

export class Player {
  constructor(root, data, options) {
    this.root = root;
    this.rate = data.rate;
    this.clips = readClips(data);
    this.variables = groupColours(this.clips);
    this.embedded = root.hasAttribute('data-embedded');
    this.frame = 0;
    this.speed = 1;
    this.selected = Math.min(Math.max(options.clip ?? 0, 0), this.clips.length - 1);
    this.page = 0;
    this.build();
    this.stage = new Stage(this.area, this.canvas, this.embedded);
    this.stage.onchange = () => (this.dirty = true);
    this.listen();
    this.applyTheme();
    this.setView(options.view ?? (this.clips.length > 1 ? 'all' : 'one'));
    if (options.frame !== undefined) this.seek(options.frame);
    this.play(options.frame === undefined && !matchMedia('(prefers-reduced-motion: reduce)').matches);
    requestAnimationFrame((now) => this.tick(now));
  }

  build() {
    this.canvas = element('canvas', { 'aria-hidden': 'true' });
    this.grid = element('div', { class: 'cells' });
    this.area = element('div', { class: 'stage', tabindex: '0', role: 'application' }, this.grid, this.canvas);
    this.area.setAttribute('aria-label', 'Motion in three dimensions: drag to turn, space to play or pause');
    this.root.replaceChildren(this.legend(), this.area, this.controlBar());
  }

  legend() {
    const entries = Object.keys(this.variables).map((name) => {
      const swatch = element('i', { class: 'swatch' });
      swatch.style.background = `var(${this.variables[name]})`;
      const count = this.clips.filter((clip) => clip.group === name).length;
      return element('span', { class: 'entry' }, swatch, name, element('small', {}, String(count)));
    });
    this.note = element('span', { class: 'note' });
    return element('div', { class: 'legend' }, ...entries, this.note);
  }

  controlBar() {
    this.playButton = button('Play or pause (space)', icon('play'), () => this.play(!this.playing));
    this.playButton.className = 'primary';
    this.scrub = element('input', { type: 'range', min: '0', value: '0', step: '1', 'aria-label': 'Frame' });
    this.clock = element('output', { class: 'clock' });
    this.picker = this.clipPicker();
    const compare = this.partner(this.clips[this.selected]) ? [['compare', 'Compare']] : [];
    const choices = [['one', 'One'], ...compare, ...(this.clips.length > 1 ? [['all', 'All']] : [])];
    this.views = segmented('View', choices, (view) => this.setView(view));
    this.views.hidden = choices.length < 2;
    this.speeds = segmented('Speed', SPEEDS.map((s) => [s, `${s.replace('0.', '.')}×`]), (s) => this.setSpeed(s));
    this.followBox = element('input', { type: 'checkbox' });
    this.followBox.checked = true;
    const follow = element('label', { class: 'check', title: 'The camera keeps the figure in the middle (F)' }, this.followBox, 'Follow');
    this.before = button('Previous', icon('previous'), () => this.step(-1));
    this.after = button('Next', icon('next'), () => this.step(1));
    const reset = button('Reset the view (R)', icon('reset'), () => this.stage.reset());
    return element('div', { class: 'controls' },
      element('div', { class: 'time' }, this.playButton, this.scrub, this.clock),
      element('div', { class: 'choices' }, this.views,
        element('div', { class: 'pick' }, this.before, this.picker, this.after), this.speeds, follow, reset));
  }

  clipPicker() {
    const picker = element('select', { 'aria-label': 'Motion' });
    for (const name of Object.keys(this.variables)) {
      const group = element('optgroup', { label: name });
      for (const clip of this.clips.filter((clip) => clip.group === name)) {
        group.append(element('option', { value: String(clip.index) }, clip.title));
      }
      picker.append(group);
    }
    return picker;
  }

  listen() {
    this.scrub.addEventListener('input', () => { this.play(false); this.seek(Number(this.scrub.value)); });
    this.picker.addEventListener('change', () => this.select(Number(this.picker.value)));
    this.followBox.addEventListener('change', () => this.setFollow(this.followBox.checked));
    new ResizeObserver(() => this.arrange()).observe(this.area);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.applyTheme());
    // After a click the keys belong to the stage; who came by keyboard stays on the button.
    this.root.addEventListener('click', (event) => event.detail && !event.target.closest('select') && this.area.focus());
    const keys = this.embedded ? this.root : document;
    keys.addEventListener('keydown', (event) => this.key(event));
    this.area.addEventListener('pointerdown', (event) => (this.pressed = [event.clientX, event.clientY]), true);
    this.area.addEventListener('pointerup', (event) => this.tap(event), true);
    if ('IntersectionObserver' in window) {
      new IntersectionObserver(([entry]) => (this.offscreen = !entry.isIntersecting)).observe(this.area);
    }
  }

  key(event) {
    const inField = event.target.closest?.('select, input:not([type=range])');
    const pressing = event.key === ' ' && event.target.closest?.('button');
    if (inField || pressing || event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      ' ': () => this.play(!this.playing),
      ArrowLeft: () => { this.play(false); this.seek(Math.ceil(this.frame) - 1); },
      ArrowRight: () => { this.play(false); this.seek(Math.floor(this.frame) + 1); },
      ArrowUp: () => this.step(-1),
      ArrowDown: () => this.step(1),
      '+': () => this.stage.zoom(0.88),
      '-': () => this.stage.zoom(1.14),
      f: () => this.setFollow(!this.stage.follow),
      r: () => this.stage.reset(),
    };
    const act = actions[event.key] ?? actions[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  }

  tap(event) {
    if (!this.pressed || this.view !== 'all') return;
    const moved = Math.hypot(event.clientX - this.pressed[0], event.clientY - this.pressed[1]);
    const hit = document.elementsFromPoint(event.clientX, event.clientY).find((e) => e.classList.contains('cell'));
    if (moved > 5 || !hit) return;
    this.select(Number(hit.dataset.index));
    this.setView('one');
  }

  // The clip of another group to set beside this one: of the same title if there is one.
  partner(clip) {
    const others = this.clips.filter((other) => other.group !== clip.group);
    return others.find((other) => other.title === clip.title) ?? others[clip.index % Math.max(others.length, 1)];
  }

  shown() {
    const clip = this.clips[this.selected];
    if (this.view === 'one') return [clip];
    if (this.view === 'compare') return [clip, this.partner(clip)];
    return this.clips.slice(this.page * this.size, (this.page + 1) * this.size);
  }

  setView(view) {
    const known = [...this.views.children].some((choice) => choice.dataset.value === view);
    this.view = known ? view : 'one';
    this.views.choose(this.view);
    this.arrange();
  }

  setSpeed(speed) {
    this.speed = Number(speed);
    this.speeds.choose(speed);
  }

  setFollow(follow) {
    this.stage.follow = this.followBox.checked = follow;
    this.dirty = true;
  }

  select(index) {
    this.selected = (index + this.clips.length) % this.clips.length;
    this.page = this.size ? Math.floor(this.selected / this.size) : 0;
    this.arrange();
  }

  step(by) {
    if (this.view !== 'all') return this.select(this.selected + by);
    const pages = Math.ceil(this.clips.length / this.size);
    this.page = (this.page + by + pages) % pages;
    this.arrange();
  }

  play(playing) {
    this.playing = playing;
    this.playButton.replaceChildren(icon(playing ? 'pause' : 'play'));
    if (!playing) this.seek(Math.round(this.frame));
  }

  seek(frame) {
    this.frame = Math.min(Math.max(frame, 0), this.frames - 1);
    this.dirty = true;
  }

  applyTheme() {
    this.stage.paint(readTheme(this.root, this.variables));
    this.dirty = true;
  }

  // Lays the cells out and measures where they ended up.
  arrange() {
    const { width, height } = this.area.getBoundingClientRect();
    if (!width || !height) return;
    this.stage.resize();
    this.size = perPage(this.clips.length, width, height);
    this.page = Math.min(this.page, Math.ceil(this.clips.length / this.size) - 1);
    const shown = this.shown();
    this.grid.style.gridTemplateColumns = `repeat(${columnsFor(shown.length, width, height).columns}, 1fr)`;
    const cells = shown.map((clip) => this.cell(clip));
    this.grid.replaceChildren(...cells);
    const origin = this.area.getBoundingClientRect();
    this.cells = shown.map((clip, i) => {
      const box = cells[i].getBoundingClientRect();
      const label = Math.min(30, box.height * 0.2);
      const [left, top] = [box.left - origin.left, box.top - origin.top + label];
      return { clip, box: { left, top, width: box.width, height: box.height - label } };
    });
    this.frames = Math.max(...shown.map((clip) => clip.frames));
    this.scrub.max = String(this.frames - 1);
    this.picker.value = String(this.selected);
    this.root.dataset.view = this.view;
    this.picker.hidden = this.view === 'all' || this.clips.length < 2;
    const turns = this.view === 'all' ? this.size < this.clips.length : this.clips.length > 1;
    this.before.hidden = this.after.hidden = !turns;
    this.seek(this.frame);
  }

  cell(clip) {
    const swatch = element('i', { class: 'swatch' });
    swatch.style.background = `var(${this.variables[clip.group]})`;
    const name = element('span', { class: 'name', title: `${clip.title} (${clip.group})` }, clip.title);
    const kind = element('span', { class: 'kind' }, clip.group);
    return element('div', { class: 'cell', 'data-index': String(clip.index) },
      element('div', { class: 'label' }, swatch, name, kind));
  }

  tick(now) {
    requestAnimationFrame((next) => this.tick(next));
    const passed = Math.min((now - (this.last ?? now)) / 1000, 0.25);
    this.last = now;
    if (this.offscreen || !this.cells) return;
    if (this.playing && this.frames > 1) {
      this.frame = (this.frame + passed * this.rate * this.speed) % this.frames;
      this.dirty = true;
    }
    if (!this.dirty) return;
    this.dirty = false;
    this.report(this.stage.render(this.cells, this.frame, this.view === 'compare'));
  }

  report(spacing) {
    const frame = Math.min(Math.round(this.frame), this.frames - 1);
    this.scrub.value = String(frame);
    this.clock.textContent = `${(frame / this.rate).toFixed(2)} s · ${frame + 1}/${this.frames}`;
    const text = spacing < 1 ? `${Math.round(spacing * 100)} cm` : `${spacing} m`;
    this.note.textContent = `darker limbs: right side · grid: ${text}`;
  }
}
