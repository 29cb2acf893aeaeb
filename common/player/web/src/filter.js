// Which motions the page shows: one button a group, which is the legend too, and a list of labels.
import { button, element } from './dom.js';
import { mark } from './theme.js';

export class Filter {
  constructor(player) {
    this.player = player;
    const { clips, variables } = player;
    this.names = Object.keys(variables);
    this.entries = this.names.map((name) => this.entry(name, clips.filter((clip) => clip.group === name).length));
    const labels = [...new Set(clips.map((clip) => clip.label).filter(Boolean))].sort();
    this.labels = element('select', { 'aria-label': 'Label' }, element('option', { value: '' }, 'every label'));
    for (const label of labels) {
      const count = clips.filter((clip) => clip.label === label).length;
      this.labels.append(element('option', { value: label }, `${label} (${count})`));
    }
    this.labels.hidden = labels.length < 2;
    this.labels.addEventListener('change', () => player.change({ label: this.labels.value, page: 0 }));
    this.note = element('span', { class: 'note' });
    this.root = element('div', { class: 'legend' }, ...this.entries, this.labels, this.note);
  }

  entry(name, count) {
    const content = [mark(name, this.player.variables[name]), element('span', {}, name), element('small', {}, String(count))];
    if (this.names.length < 2) return element('span', { class: 'entry' }, ...content);
    const made = button(`Show the motions of group ${name}`, '', () => this.press(name));
    made.classList.add('entry');
    made.replaceChildren(...content);
    return made;
  }

  // The last group that is shown cannot be taken away: pressing it brings all back.
  press(name) {
    const shown = new Set(this.player.state.groups ?? this.names);
    if (shown.has(name)) shown.delete(name);
    else shown.add(name);
    const all = shown.size === 0 || shown.size === this.names.length;
    this.player.change({ groups: all ? null : this.names.filter((other) => shown.has(other)), page: 0 });
  }

  show({ groups, label }) {
    if (this.names.length > 1) {
      this.entries.forEach((made, i) => made.setAttribute('aria-pressed', String(!groups || groups.includes(this.names[i]))));
    }
    this.labels.value = label;
  }
}
