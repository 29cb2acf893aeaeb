// What the page carries: joint positions in whole steps, packed as `common/player/clip.py` says.

export const JOINTS = 22;
const PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19];

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

// Sums over time twice, then along the bones; 16-bit numbers wrap around as they did when packed.
function decodeJoints(planes, frames, step) {
  const count = frames * JOINTS * 3;
  const whole = new Int16Array(count);
  for (let row = 0; row < JOINTS * 3; row++) {
    let [position, velocity] = [0, 0];
    for (let t = 0; t < frames; t++) {
      const at = row * frames + t;
      const signless = planes[at] | (planes[count + at] << 8);
      velocity += (signless >>> 1) ^ -(signless & 1);
      position += velocity;
      const parent = PARENTS[Math.floor(row / 3)];
      const place = t * JOINTS * 3 + row;
      whole[place] = position + (parent < 0 ? 0 : whole[t * JOINTS * 3 + 3 * parent + (row % 3)]);
    }
  }
  return Float32Array.from(whole, (value) => value * step);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(share * (sorted.length - 1))];
}

// The root's horizontal path, smoothed so that a following camera does not sway with each step.
// Beyond either end the path goes on as its point reflection, so that it keeps its speed there.
function smoothRoot(clip, sigma) {
  const last = clip.frames - 1;
  const root = (t, axis) => clip.joints[t * JOINTS * 3 + axis];
  const inside = (t) => Math.min(last, Math.max(0, t));
  const extended = (t, axis) => {
    const edge = inside(t);
    return edge === t ? root(t, axis) : 2 * root(edge, axis) - root(inside(2 * edge - t), axis);
  };
  const path = new Float32Array(2 * clip.frames);
  const reach = Math.ceil(3 * sigma);
  for (let t = 0; t < clip.frames; t++) {
    let total = 0;
    for (let k = -reach; k <= reach; k++) {
      const weight = Math.exp((-0.5 * k * k) / (sigma * sigma));
      path[2 * t] += weight * extended(t + k, 0);
      path[2 * t + 1] += weight * extended(t + k, 2);
      total += weight;
    }
    path[2 * t] /= total;
    path[2 * t + 1] /= total;
  }
  return path;
}

function boneLength(clip, a, b) {
  const lengths = [];
  for (let t = 0; t < clip.frames; t += 3) {
    const i = (t * JOINTS + a) * 3;
    const j = (t * JOINTS + b) * 3;
    const d = [0, 1, 2].map((k) => clip.joints[i + k] - clip.joints[j + k]);
    lengths.push(Math.hypot(...d));
  }
  return median(lengths);
}

const SLABS = 10;
const SECTORS = 24;

// How far the motion reaches from a vertical line, by height and direction, as points [x, y, z] from that
// line: `centre(t)` is its [x, z]. Few points stand for all frames and joints.
function outline(clip, low, high, centre) {
  const reach = new Float32Array(SLABS * SECTORS).fill(-1);
  const thick = Math.max(high - low, 1e-6) / SLABS;
  for (let t = 0; t < clip.frames; t++) {
    const [cx, cz] = centre(t);
    for (let j = 0; j < JOINTS; j++) {
      const i = (t * JOINTS + j) * 3;
      const [x, z] = [clip.joints[i] - cx, clip.joints[i + 2] - cz];
      const slab = Math.min(SLABS - 1, Math.floor((clip.joints[i + 1] - low) / thick));
      const sector = Math.floor((Math.atan2(z, x) / (2 * Math.PI) + 1) * SECTORS) % SECTORS;
      reach[slab * SECTORS + sector] = Math.max(reach[slab * SECTORS + sector], Math.hypot(x, z));
    }
  }
  const points = [];
  reach.forEach((radius, at) => {
    if (radius < 0) return;
    const angle = ((at % SECTORS) + 0.5) * ((2 * Math.PI) / SECTORS);
    const slab = Math.floor(at / SECTORS);
    for (const edge of [slab, slab + 1]) points.push({ y: low + edge * thick, angle, radius });
  });
  return points;
}

function bounds(clip, axis) {
  let [low, high] = [Infinity, -Infinity];
  for (let i = axis; i < clip.joints.length; i += 3) {
    low = Math.min(low, clip.joints[i]);
    high = Math.max(high, clip.joints[i]);
  }
  return [low, high];
}

function measure(clip) {
  const height = (j) => Array.from({ length: clip.frames }, (_, t) => clip.joints[(t * JOINTS + j) * 3 + 1]);
  const [low, high] = bounds(clip, 1);
  const middle = [0, 2].map((axis) => bounds(clip, axis).reduce((a, b) => a + b) / 2);
  const drop = percentile([...height(7), ...height(8)], 0.05) - percentile([...height(10), ...height(11)], 0.05);
  const moving = outline(clip, low, high, (t) => [clip.path[2 * t], clip.path[2 * t + 1]]);
  return { low, high, middle, drop, moving, whole: outline(clip, low, high, () => middle) };
}

function prepare(clip, rate) {
  clip.path = smoothRoot(clip, 0.4 * rate);
  clip.bone = (a, b) => boneLength(clip, a, b);
  const leg = (clip.bone(1, 4) + clip.bone(2, 5) + clip.bone(4, 7) + clip.bone(5, 8)) / 2;
  clip.size = Math.max(leg, 1e-3) / 0.821; // 1 for the reference skeleton
  clip.extent = measure(clip);
  return clip;
}

export async function readClips(data) {
  const bytes = await unpack(data.data);
  let start = 0;
  return data.clips.map(({ step, ...facts }, index) => {
    const end = start + 2 * facts.frames * JOINTS * 3;
    const joints = decodeJoints(bytes.subarray(start, end), facts.frames, step);
    start = end;
    return prepare({ ...facts, index, joints }, data.rate);
  });
}

// Joint positions at a fractional frame, written into `out` [22 * 3].
export function pose(clip, frame, out) {
  const at = Math.min(Math.max(frame, 0), clip.frames - 1);
  const from = Math.floor(at);
  const to = Math.min(from + 1, clip.frames - 1);
  const share = at - from;
  const size = JOINTS * 3;
  for (let i = 0; i < size; i++) {
    out[i] = (1 - share) * clip.joints[from * size + i] + share * clip.joints[to * size + i];
  }
  return out;
}

// The smoothed root's x and z at a fractional frame.
export function rootAt(clip, frame) {
  const at = Math.min(Math.max(frame, 0), clip.frames - 1);
  const from = Math.floor(at);
  const to = Math.min(from + 1, clip.frames - 1);
  const share = at - from;
  const mix = (k) => (1 - share) * clip.path[2 * from + k] + share * clip.path[2 * to + k];
  return [mix(0), mix(1)];
}
