// The part of the address after #: which motion, frame and view, so that a link shows what its maker saw.
// f counts frames from 0; motions count from 1, as the page numbers them.

const whole = (text) => (/^\d{1,6}$/.test(text ?? '') ? Number(text) : undefined);
const one = (text, choices) => (choices.includes(text) ? text : undefined);
const flag = (text) => (text === '0' || text === '1' ? text === '1' : undefined);

export const SPEEDS = ['0.25', '0.5', '1', '1.5', '2'];
export const LAYOUTS = ['side', 'floor', 'over'];
export const SYNCS = ['start', 'end'];
export const MOST = 8; // motions compared at once
const OF_A_GROUP = 4; // motions that the name of a group stands for

// Numbers and names of groups, e.g. "1,4" or "generated,real", as indices.
function chosen(text, clips) {
  const found = [];
  for (const word of text.split(',')) {
    const members = clips.filter((clip) => clip.group === word).slice(0, OF_A_GROUP);
    const number = whole(word);
    if (members.length) found.push(...members.map((clip) => clip.index));
    else if (number >= 1 && number <= clips.length) found.push(number - 1);
  }
  return [...new Set(found)].slice(0, MOST);
}

// The state that an address names; what it leaves out or gets wrong is left as it is.
export function readAddress(hash, clips) {
  const query = new URLSearchParams(hash.replace(/^#/, ''));
  const motion = whole(query.get('m'));
  const compared = query.has('compare') ? chosen(query.get('compare'), clips) : [];
  const groups = (query.get('group') ?? '').split(',').filter((name) => clips.some((clip) => clip.group === name));
  const state = {
    frame: whole(query.get('f')),
    motion: motion >= 1 && motion <= clips.length ? motion - 1 : undefined,
    view: compared.length > 1 ? 'compare' : one(query.get('view'), ['one', 'compare', 'all']),
    compared: compared.length > 1 ? compared : undefined,
    layout: one(query.get('layout'), LAYOUTS),
    sync: one(query.get('sync'), SYNCS),
    groups: groups.length ? groups : undefined,
    label: clips.some((clip) => clip.label === query.get('label')) ? query.get('label') : undefined,
    speed: one(query.get('speed'), SPEEDS),
    loop: flag(query.get('loop')),
    follow: flag(query.get('follow')),
    trail: flag(query.get('trail')),
    camera: readCamera(query.get('cam')),
  };
  // A motion without a view means that motion, large; a frame means a still picture.
  if (state.motion !== undefined && !state.view) state.view = 'one';
  if (state.frame !== undefined) state.playing = false;
  return Object.fromEntries(Object.entries(state).filter(([, value]) => value !== undefined));
}

function readCamera(text) {
  const numbers = (text ?? '').split(',').map(Number);
  return text && numbers.length === 3 && numbers.every(Number.isFinite) ? numbers : undefined;
}

export function writeAddress(state, usual, camera) {
  const query = new URLSearchParams();
  if (!state.playing) query.set('f', String(Math.round(state.frame)));
  query.set('m', String(state.motion + 1));
  if (state.view === 'compare') query.set('compare', state.compared.map((index) => index + 1).join(','));
  else query.set('view', state.view);
  for (const name of ['layout', 'sync', 'label', 'speed']) {
    if (state[name] !== usual[name]) query.set(name, state[name]);
  }
  if (state.groups) query.set('group', state.groups.join(','));
  for (const name of ['loop', 'follow', 'trail']) {
    if (state[name] !== usual[name]) query.set(name, state[name] ? '1' : '0');
  }
  if (camera) query.set('cam', camera.map((value) => String(Number(value.toFixed(2)))).join(','));
  return `#${query.toString().replaceAll('%2C', ',')}`;
}
