// The controls under the stage: time first, within a thumb's reach; the rest folds away on a phone.
import { SPEEDS } from './address.js';
import { button, element, icon, optionsByGroup, segmented, toggle } from './dom.js';
import { toggleHelp } from './keys.js';

const VIEWS = [['one', 'One', 'One motion, large'], ['compare', 'Compare', 'Compare motions'], ['all', 'All', 'All motions']];

export class Bar {
  constructor(player) {
    this.player = player;
    const flag = (name, label, text) => toggle(label, text, (on) => player.change({ [name]: on }));
    this.flags = {
      loop: flag('loop', 'Begin again at the end (L)', 'Loop'),
      follow: flag('follow', 'The camera keeps the figures in the middle (F)', 'Follow'),
      trail: flag('trail', 'Path of the root on the floor (T)', 'Path'),
    };
    this.speeds = segmented('Speed', SPEEDS.map((s) => [s, `${s.replace('0.', '.')}×`, `Speed ${s}`]),
      (speed) => player.change({ speed }));
    this.extra = element('div', { class: 'extra', id: 'player-extra' }, this.speeds, ...Object.values(this.flags),
      button('Reset the view (R)', icon('reset'), () => player.stage.reset()),
      button('Keys and gestures (?)', icon('keys'), () => toggleHelp(player)));
    this.root = element('div', { class: 'controls' }, this.timeRow(), this.choiceRow(), this.extra);
    this.unfold(false);
  }

  timeRow() {
    const { player } = this;
    this.playButton = button('Play (space)', icon('play'), () => player.play(!player.state.playing));
    this.playButton.className = 'primary';
    this.scrub = element('input', { type: 'range', min: '0', value: '0', step: '1', 'aria-label': 'Frame' });
    this.scrub.addEventListener('input', () => player.still(Number(this.scrub.value)));
    this.clock = element('output', { class: 'clock', 'aria-live': 'off' });
    const back = button('One frame back (left)', icon('back'), () => player.nudge(-1));
    const forth = button('One frame forth (right)', icon('forth'), () => player.nudge(1));
    this.more = button('More controls', icon('more'), () => this.unfold(!this.root.classList.contains('unfolded')));
    this.more.classList.add('more');
    this.more.setAttribute('aria-controls', 'player-extra');
    const track = element('div', { class: 'track' }, this.scrub, this.clock);
    return element('div', { class: 'time' }, back, this.playButton, forth, track, this.more);
  }

  choiceRow() {
    const { player } = this;
    this.views = segmented('View', player.clips.length > 1 ? VIEWS : [], (view) => player.change({ view }));
    this.views.hidden = player.clips.length < 2;
    this.before = button('Before (up)', icon('previous'), () => player.step(-1));
    this.after = button('After (down)', icon('next'), () => player.step(1));
    this.picker = element('select', { 'aria-label': 'Motion' });
    this.picker.addEventListener('change', () => player.change({ motion: Number(this.picker.value) }));
    this.pages = element('span', { class: 'pages' });
    this.pick = element('div', { class: 'pick' }, this.before, this.picker, this.pages, this.after);
    return element('div', { class: 'choices' }, this.views, this.pick);
  }

  unfold(open) {
    this.root.classList.toggle('unfolded', open);
    this.more.setAttribute('aria-expanded', String(open));
  }

  show({ view, motion, page, speed, marked, ...state }, pool, pages) {
    this.views.choose(view);
    for (const made of this.views.children) {
      if (made.dataset.value === 'compare') made.textContent = marked.length ? `Compare (${marked.length})` : 'Compare';
    }
    this.speeds.choose(speed);
    for (const [name, made] of Object.entries(this.flags)) made.choose(state[name]);
    const key = pool.map((clip) => clip.index).join();
    if (key !== this.listed) this.picker.replaceChildren(...optionsByGroup(pool));
    this.listed = key;
    this.picker.value = String(motion);
    this.picker.hidden = view !== 'one';
    this.pages.hidden = view !== 'all';
    this.pages.textContent = `${page + 1} / ${pages}`;
    this.pick.hidden = view === 'compare' || (view === 'one' ? pool.length < 2 : pages < 2);
    this.playing(state.playing);
  }

  playing(on) {
    if (this.wasPlaying === on) return;
    this.wasPlaying = on;
    const label = on ? 'Pause (space)' : 'Play (space)';
    this.playButton.replaceChildren(icon(on ? 'pause' : 'play'));
    this.playButton.title = label;
    this.playButton.setAttribute('aria-label', label);
  }

  time(frame, frames, rate) {
    const seconds = (count) => (count / rate).toFixed(2);
    this.scrub.max = String(frames - 1);
    this.scrub.value = String(frame);
    this.scrub.setAttribute('aria-valuetext', `${seconds(frame)} seconds of ${seconds(frames - 1)}`);
    this.clock.textContent = `${seconds(frame)} / ${seconds(frames - 1)} s · frame ${frame}`;
    this.clock.title = `Frame ${frame} of 0 to ${frames - 1}`;
  }
}
