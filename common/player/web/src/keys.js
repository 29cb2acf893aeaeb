// The keys, in one table from which both the actions and the help are made.
import { button, element } from './dom.js';

const TURN = 6; // degrees
const STEP = 0.05; // of the picture's height
const NEARER = 1.14;

const turn = (around, over) => (player) => player.stage.move({ around, over });
const pan = (right, up) => (player) => player.stage.pan(right, up);
const zoom = (nearer) => (player) => player.stage.move({ nearer });
const flip = (name) => (player) => player.change({ [name]: !player.state[name] });

// [keys, what the help shows, what they do, [action of each key]]
const TABLE = [
  [[' '], 'Space', 'play, pause', [(player) => player.play(!player.state.playing)]],
  [['arrowleft', 'arrowright'], '← →', 'one frame back, forth', [(player) => player.nudge(-1), (player) => player.nudge(1)]],
  [['home', 'end'], 'Home, End', 'first, last frame',
    [(player) => player.still(0), (player) => player.still(player.frames - 1)]],
  [['arrowup', 'arrowdown'], '↑ ↓', 'motion or page before, after', [(player) => player.step(-1), (player) => player.step(1)]],
  [[',', '.'], ', .', 'slower, faster', [(player) => player.faster(-1), (player) => player.faster(1)]],
  [['l'], 'L', 'loop', [flip('loop')]],
  [['1', '2', '3'], '1 2 3', 'one, compare, all', ['one', 'compare', 'all'].map((view) => (player) => player.change({ view }))],
  [['o'], 'O', 'side by side, one floor, overlaid', [(player) => player.nextLayout()]],
  [['e'], 'E', 'start or end together',
    [(player) => player.change({ sync: player.state.sync === 'end' ? 'start' : 'end' })]],
  [['a', 'd', 'w', 's'], 'A D W S', 'turn the view', [turn(-TURN, 0), turn(TURN, 0), turn(0, -TURN), turn(0, TURN)]],
  [['shift+a', 'shift+d', 'shift+w', 'shift+s'], 'Shift with A D W S', 'shift the view',
    [pan(-STEP, 0), pan(STEP, 0), pan(0, STEP), pan(0, -STEP)]],
  [['+', '-'], '+ −', 'zoom', [zoom(NEARER), zoom(1 / NEARER)]],
  [['f'], 'F', 'the camera follows', [flip('follow')]],
  [['t'], 'T', 'path of the root', [flip('trail')]],
  [['r'], 'R', 'reset the view', [(player) => player.stage.reset()]],
  [['?', 'escape'], '?, Esc', 'this list; away with it', [toggleHelp, (player) => player.help.close()]],
];

const GESTURES = [
  ['Drag, or one finger', 'turn'],
  ['Right button, or two fingers', 'shift'],
  ['Wheel, or pinch', 'zoom (in a report: Ctrl with the wheel)'],
];

const ACTIONS = new Map(TABLE.flatMap(([keys, , , actions]) => keys.map((key, i) => [key, actions[i]])));

function named(event) {
  const key = event.key.toLowerCase();
  const letter = /^[a-z]$/.test(key);
  return event.shiftKey && letter ? `shift+${key}` : key === '=' ? '+' : key === '_' ? '-' : key;
}

export function onKey(player, event) {
  const target = event.target;
  const inField = target.closest?.('select, input:not([type=range])');
  const pressing = (event.key === ' ' || event.key === 'Enter') && target.closest?.('button');
  if (inField || pressing || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = ACTIONS.get(named(event)) ?? ACTIONS.get(event.key.toLowerCase());
  if (!act) return;
  event.preventDefault();
  act(player);
}

export function toggleHelp(player) {
  if (player.help.open) player.help.close();
  else player.help.show();
}

// Over the stage and nothing else: what the page says above it stays in sight.
export function helpDialog() {
  const rows = [...TABLE.map(([, shown, what]) => [shown, what]), ...GESTURES];
  const table = element('table', {}, ...rows.map(([shown, what]) =>
    element('tr', {}, element('th', { scope: 'row' }, shown), element('td', {}, what))));
  const close = button('Close', 'Close', () => dialog.close());
  const dialog = element('dialog', { class: 'help', autofocus: true, tabindex: '-1', 'aria-label': 'Keys and gestures' },
    element('h2', {}, 'Keys and gestures'), table, close);
  for (const name of ['pointerdown', 'wheel']) dialog.addEventListener(name, (event) => event.stopPropagation());
  return dialog;
}
