// The row of controls that compare motions: which ones, how they stand, from where their time counts.
import { LAYOUTS, MOST, SYNCS } from './address.js';
import { button, element, icon, optionsByGroup, segmented } from './dom.js';
import { mark } from './theme.js';

const LAYOUT_TEXTS = { side: 'Side by side', floor: 'One floor', over: 'Overlaid' };
const SYNC_TEXTS = { start: 'Start together', end: 'End together' };

export class Comparison {
  constructor(player) {
    this.player = player;
    this.chips = element('div', { class: 'chips' });
    this.adder = element('select', { 'aria-label': 'Add a motion to the comparison' });
    this.adder.addEventListener('change', () => this.add(this.adder.value));
    const choices = (names, texts) => names.map((name) => [name, texts[name]]);
    this.layouts = segmented('Layout', choices(LAYOUTS, LAYOUT_TEXTS), (layout) => player.change({ layout }));
    this.syncs = segmented('Time', choices(SYNCS, SYNC_TEXTS), (sync) => player.change({ sync }));
    this.root = element('div', { class: 'comparison' }, this.chips,
      element('div', { class: 'ways' }, this.adder, this.layouts, this.syncs));
  }

  add(value) {
    const { clips, state } = this.player;
    const members = value.startsWith('*')
      ? clips.filter((clip) => clip.group === value.slice(1)).map((clip) => clip.index) : [Number(value)];
    const compared = [...new Set([...state.compared, ...members])].slice(0, MOST);
    this.player.change({ compared });
  }

  show({ view, compared, layout, sync }) {
    this.root.hidden = view !== 'compare';
    if (this.root.hidden) return;
    const { clips } = this.player;
    this.chips.replaceChildren(...compared.map((index) => this.chip(clips[index], compared.length > 2)));
    const rest = clips.filter((clip) => !compared.includes(clip.index));
    const groups = optionsByGroup(rest);
    for (const group of groups) {
      const count = rest.filter((clip) => clip.group === group.label).length;
      if (count > 1) group.prepend(element('option', { value: `*${group.label}` }, `as many of ${group.label} as fit`));
    }
    this.adder.replaceChildren(element('option', { value: '' }, 'Add a motion'), ...groups);
    this.adder.hidden = compared.length >= MOST || !rest.length;
    this.layouts.choose(layout);
    this.syncs.choose(sync);
    const frames = new Set(compared.map((index) => clips[index].frames));
    this.syncs.hidden = frames.size < 2;
  }

  chip(clip, removable) {
    const name = element('span', { class: 'name' }, `${clip.index + 1} · ${clip.title}`);
    const made = element('span', { class: 'chip' }, mark(clip.group, this.player.variables[clip.group]), name,
      element('small', {}, clip.group));
    if (!removable) return made;
    const leave = () => this.player.change({ compared: this.player.state.compared.filter((index) => index !== clip.index) });
    made.append(button(`Take motion ${clip.index + 1} out of the comparison`, icon('remove'), leave));
    return made;
  }
}
