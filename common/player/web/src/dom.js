// Elements by name; text always goes in as text.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === undefined) continue;
    made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children);
  return made;
}

const SHAPES = {
  play: 'M7 4.5v15l13-7.5z',
  pause: 'M6 4.5h4.4v15H6zM13.6 4.5H18v15h-4.4z',
  previous: 'M15.5 5 8.5 12l7 7',
  next: 'M8.5 5l7 7-7 7',
  reset: 'M5 12a7 7 0 1 0 2.2-5.1M5 4v4h4',
  back: 'M17 5.5 9.5 12l7.5 6.5M6.5 5.5v13',
  forth: 'M7 5.5l7.5 6.5L7 18.5M17.5 5.5v13',
  add: 'M12 5v14M5 12h14',
  done: 'M5 12.5l4.5 4.5L19 7.5',
  remove: 'M6.5 6.5l11 11M17.5 6.5l-11 11',
  keys: 'M3 6.5h18v11H3zM6.5 10h.01M10 10h.01M13.5 10h.01M17 10h.01M8 14h8',
  more: 'M5 8h14M5 16h14M9 5.5v5M15 13.5v5',
};

export function icon(name) {
  const space = 'http://www.w3.org/2000/svg';
  const drawing = document.createElementNS(space, 'svg');
  drawing.setAttribute('viewBox', '0 0 24 24');
  drawing.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(space, 'path');
  path.setAttribute('d', SHAPES[name]);
  path.setAttribute('class', name === 'play' || name === 'pause' ? 'solid' : 'stroke');
  drawing.append(path);
  return drawing;
}

export function button(label, content, onclick) {
  const made = element('button', { type: 'button', title: label, 'aria-label': label }, content);
  made.addEventListener('click', onclick);
  return made;
}

// Buttons of which one is pressed; `choices` are [value, text, description].
export function segmented(label, choices, onchoose) {
  const group = element('div', { class: 'segmented', role: 'group', 'aria-label': label });
  for (const [value, text, description] of choices) {
    const made = button(description ?? text, text, () => onchoose(value));
    made.dataset.value = value;
    group.append(made);
  }
  group.choose = (value) => {
    for (const made of group.children) made.setAttribute('aria-pressed', String(made.dataset.value === value));
  };
  return group;
}

// A button that is on or off.
export function toggle(label, text, onchange) {
  const made = button(label, text, () => onchange(made.getAttribute('aria-pressed') !== 'true'));
  made.classList.add('toggle');
  made.choose = (on) => made.setAttribute('aria-pressed', String(on));
  return made;
}

// Options of a list, one group of motions after the other.
export function optionsByGroup(clips) {
  return [...new Set(clips.map((clip) => clip.group))].map((name) => {
    const group = element('optgroup', { label: name });
    for (const clip of clips.filter((clip) => clip.group === name)) {
      group.append(element('option', { value: String(clip.index) }, `${clip.index + 1} · ${clip.title}`));
    }
    return group;
  });
}
