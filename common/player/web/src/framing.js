// What a camera must hold: the reach of one or several figures about a centre that may move with them.
import * as THREE from 'three';
import { rootAt } from './clips.js';
import { SOLE } from './figure.js';

export const FIELD = 26; // degrees, vertical
const MARGIN = 1.06;
const FLESH = 0.09; // metres of flesh around the joints at reference size
const HAIR = 0.22; // metres from the head joint to above the crown at reference size
const EVERY = 3; // frames between two looks at how far figures are apart

// Where figure `entry` stands on the floor at frame `frame` of the whole.
export function standing({ clip, shift, delay }, frame) {
  const [x, z] = rootAt(clip, frame - delay);
  return [x + shift[0], z + shift[1]];
}

function mean(places) {
  return [0, 1].map((axis) => places.reduce((sum, place) => sum + place[axis], 0) / places.length);
}

// The corners of the rectangle in which `entry` moves about the common centre.
function wander(entry, entries, frames) {
  const [low, high] = [[Infinity, Infinity], [-Infinity, -Infinity]];
  for (let t = 0; t < frames; t += EVERY) {
    const centre = mean(entries.map((other) => standing(other, t)));
    standing(entry, t).forEach((value, axis) => {
      low[axis] = Math.min(low[axis], value - centre[axis]);
      high[axis] = Math.max(high[axis], value - centre[axis]);
    });
  }
  return [[low[0], low[1]], [low[0], high[1]], [high[0], low[1]], [high[0], high[1]]];
}

// Points [x, y, z]; heights are absolute, x and z as seen from each of `origins`.
function reach(entry, outline, origins) {
  const { clip } = entry;
  const { low, high } = clip.extent;
  const [bottom, top] = [Math.min(low, 0) - 2 * SOLE * clip.size, high + HAIR * clip.size];
  const height = (y) => (y === low ? bottom : y >= high - 1e-6 ? top : y);
  return outline.flatMap(({ y, radius, angle }) => {
    const far = radius + FLESH * clip.size;
    return origins.map(([x, z]) => [x + far * Math.cos(angle), height(y), z + far * Math.sin(angle)]);
  });
}

export class Framing {
  // `entries` are [{ clip, shift: [x, z], delay }]; `frames` counts those of the whole.
  constructor(entries, frames, follow) {
    this.entries = entries;
    this.follow = follow;
    this.size = entries.reduce((sum, { clip }) => sum + clip.size, 0) / entries.length;
    this.points = entries.flatMap((entry) => this.pointsOf(entry, frames));
    const range = (axis) => [0, 1].map((end) => this.points.reduce(
      (best, point) => (end ? Math.max(best, point[axis]) : Math.min(best, point[axis])), this.points[0][axis]));
    const [bottom, top] = range(1);
    this.y = (bottom + top) / 2;
    this.middle = follow ? [0, 0] : [0, 2].map((axis) => range(axis).reduce((a, b) => a + b) / 2);
    for (const point of this.points) {
      point[0] -= this.middle[0];
      point[1] -= this.y;
      point[2] -= this.middle[1];
    }
    this.radius = Math.max(...this.points.map(([x, y, z]) => Math.max(Math.abs(y), Math.hypot(x, z))));
    this.distances = new Map();
  }

  pointsOf(entry, frames) {
    const { clip, shift } = entry;
    if (!this.follow) {
      const [x, z] = clip.extent.middle;
      return reach(entry, clip.extent.whole, [[x + shift[0], z + shift[1]]]);
    }
    const alone = this.entries.length === 1;
    return reach(entry, clip.extent.moving, alone ? [[0, 0]] : wander(entry, this.entries, frames));
  }

  centre(frame) {
    const [x, z] = this.follow ? mean(this.entries.map((entry) => standing(entry, frame))) : this.middle;
    return new THREE.Vector3(x, this.y, z);
  }

  // From how far away all of it fits, whatever the cell's shape and the tilt.
  distance(direction, aspect) {
    const key = [...direction.toArray(), aspect].map((value) => value.toFixed(3)).join();
    if (!this.distances.has(key)) {
      if (this.distances.size > 64) this.distances.clear();
      this.distances.set(key, MARGIN * fit(this.points, direction, aspect));
    }
    return this.distances.get(key);
  }
}

// Distance at which points about the target fit the field of view: a point at depth q towards the camera
// and offsets (h, v) on the screen needs q + max(|h| / tan, |v| / tan).
function fit(points, back, aspect) {
  const right = new THREE.Vector3(0, 1, 0).cross(back).normalize();
  const up = back.clone().cross(right);
  const vertical = Math.tan((FIELD * Math.PI) / 360);
  const place = new THREE.Vector3();
  let distance = 0;
  for (const point of points) {
    place.fromArray(point);
    const across = Math.abs(place.dot(right)) / (vertical * aspect);
    const along = Math.abs(place.dot(up)) / vertical;
    distance = Math.max(distance, place.dot(back) + Math.max(across, along));
  }
  return distance;
}
