// Colours come from the page's style sheet, so that light and dark need no second list.
import { element } from './dom.js';

const KNOWN = ['generated', 'real', 'public'];
const SPARE = ['--group-4', '--group-5', '--group-6'];

export function groupColours(clips) {
  const names = [...new Set(clips.map((clip) => clip.group))];
  const others = names.filter((name) => !KNOWN.includes(name));
  const variable = (name) => (KNOWN.includes(name) ? `--${name}` : SPARE[others.indexOf(name) % SPARE.length]);
  return Object.fromEntries(names.map((name) => [name, variable(name)]));
}

export function readTheme(root, variables) {
  const style = getComputedStyle(root);
  const read = (name) => style.getPropertyValue(name).trim();
  const groups = Object.fromEntries(Object.entries(variables).map(([name, variable]) => [name, read(variable)]));
  return { ink: read('--ink'), dark: read('--dark') === '1', groups };
}

// A group's mark: colour and shape, so that it is told apart without colours too.
export function mark(group, variable) {
  const made = element('i', { class: `swatch tint-${KNOWN.includes(group) ? group : 'other'}`, 'aria-hidden': 'true' });
  made.style.background = `var(${variable})`;
  return made;
}
