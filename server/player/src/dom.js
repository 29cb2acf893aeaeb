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

export function segmented(label, choices, onchoose) {
  const group = element('div', { class: 'segmented', role: 'group', 'aria-label': label });
  for (const [value, text] of choices) {
    const made = button(text, text, () => onchoose(value));
    made.dataset.value = value;
    group.append(made);
  }
  group.choose = (value) => {
    for (const made of group.children) made.setAttribute('aria-pressed', String(made.dataset.value === value));
  };
  return group;
}
