// A mannequin that takes the pose of 22 joint positions.
import * as THREE from 'three';
import { JOINTS } from './clips.js';
import { Contact } from './ground.js';
import { Torso } from './torso.js';
import { Trail } from './trail.js';

// Surface profiles along a bone: [share of its length, radius in metres at reference size].
const PROFILES = {
  thigh: [[0, 0.084], [0.2, 0.084], [0.5, 0.073], [0.85, 0.055], [1, 0.051]],
  shin: [[0, 0.051], [0.12, 0.05], [0.3, 0.056], [0.6, 0.044], [0.9, 0.033], [1, 0.034]],
  upper: [[0, 0.056], [0.2, 0.052], [0.5, 0.046], [0.85, 0.038], [1, 0.036]],
  fore: [[0, 0.036], [0.25, 0.04], [0.6, 0.033], [0.9, 0.026], [1, 0.026]],
  yoke: [[0, 0.043], [0.4, 0.051], [1, 0.057]],
  neck: [[0, 0.05], [1, 0.046]],
};
const LIMBS = [
  [1, 4, 'thigh'], [4, 7, 'shin'], [16, 18, 'upper'], [18, 20, 'fore'],
  [2, 5, 'thigh'], [5, 8, 'shin'], [17, 19, 'upper'], [19, 21, 'fore'],
];
const PALE = new THREE.Color(0xffffff);
const UP = new THREE.Vector3(0, 1, 0);
export const SOLE = 0.026; // metres from the toe joint's lowest height down to the ground, at reference size

// A lathe along +Y from 0 to `length`, closed by a half sphere at either end.
function capsule(profile, length, size) {
  const points = [];
  const [first, last] = [profile[0][1] * size, profile[profile.length - 1][1] * size];
  for (let k = 0; k < 6; k++) {
    const a = (Math.PI / 2) * (k / 6);
    points.push(new THREE.Vector2(first * Math.sin(a), -first * Math.cos(a)));
  }
  const curve = new THREE.SplineCurve(profile.map(([t, r]) => new THREE.Vector2(r * size, t * length)));
  points.push(...curve.getPoints(14));
  for (let k = 1; k <= 6; k++) {
    const a = (Math.PI / 2) * (k / 6);
    points.push(new THREE.Vector2(Math.max(last * Math.cos(a), 0), length + last * Math.sin(a)));
  }
  return new THREE.LatheGeometry(points, 20);
}

function mesh(geometry, material) {
  const made = new THREE.Mesh(geometry, material);
  made.castShadow = made.receiveShadow = true;
  made.frustumCulled = false;
  return made;
}

export class Figure {
  constructor(clip) {
    this.clip = clip;
    this.size = clip.size;
    this.group = new THREE.Group();
    this.points = Array.from({ length: JOINTS }, () => new THREE.Vector3());
    this.skin = new THREE.MeshStandardMaterial({ roughness: 0.62 });
    this.shade = new THREE.MeshStandardMaterial({ roughness: 0.62 });
    this.torso = new Torso(this.skin, this.size);
    this.group.add(this.torso.mesh);
    this.limbs = LIMBS.map(([a, b, kind], i) => this.limb(a, b, kind, i < 4 ? this.skin : this.shade));
    this.neck = this.limb(12, 15, 'neck', this.skin);
    this.yokes = [16, 17].map((shoulder) => this.limb(12, shoulder, 'yoke', this.skin));
    const ball = new THREE.SphereGeometry(1, 28, 20);
    this.head = mesh(ball, this.skin);
    this.nose = mesh(ball, this.skin);
    this.ends = [0, 1].map((right) => this.extremities(ball, right ? this.shade : this.skin));
    this.contact = new Contact();
    this.trail = new Trail(clip);
    this.group.add(this.head, this.nose, ...this.contact.patches, this.trail.mesh);
  }

  // The person's right limbs are a tone darker, so that crossing limbs stay readable. `tone` counts the
  // figures of this colour before it in the same scene: each is paler than the last.
  paint(colour, tone) {
    this.skin.color.set(colour).lerp(PALE, Math.min(0.17 * tone, 0.5));
    this.shade.color.copy(this.skin.color).multiplyScalar(0.42);
    this.trail.uniforms.colour.value.copy(this.skin.color);
  }

  touch(floor) {
    this.contact.touch(this.points, floor, this.size, this.darkness);
  }

  // A point above the head, in the scene.
  crown() {
    return this.points[15].clone().add(this.group.position).add(new THREE.Vector3(0, 0.24 * this.size, 0));
  }

  limb(a, b, kind, material) {
    const length = Math.max(this.clip.bone(a, b), 1e-3);
    const made = mesh(capsule(PROFILES[kind], length, this.size), material);
    this.group.add(made);
    return { a, b, length, mesh: made };
  }

  extremities(ball, material) {
    const parts = { hand: mesh(ball, material), foot: mesh(this.footShape(), material) };
    this.group.add(parts.hand, parts.foot);
    return parts;
  }

  footShape() {
    const length = Math.max(this.clip.bone(7, 10), this.clip.bone(8, 11), 1e-3);
    this.drop = Math.min(Math.max(this.clip.extent.drop, 0.02 * this.size), 0.7 * length);
    const reach = Math.sqrt(length * length - this.drop * this.drop) + 0.075 * this.size;
    return capsule([[0, 0.037], [0.35, 0.039], [0.75, 0.042], [1, 0.026]], reach, this.size);
  }

  update(values) {
    this.points.forEach((point, j) => point.fromArray(values, 3 * j));
    const axes = this.axes();
    this.torso.update(this.points, axes);
    this.limbs.forEach((limb) => this.stretch(limb));
    this.stretch(this.neck);
    const nape = this.points[12].clone().lerp(this.points[15], 0.12);
    this.yokes.forEach((yoke) => this.stretch(yoke, nape));
    this.placeHead(axes);
    this.ends.forEach((parts, right) => this.placeEnds(parts, right));
  }

  axes() {
    const p = this.points;
    const along = (a, b) => p[a].clone().sub(p[b]).normalize();
    const hips = along(1, 2);
    const shoulders = along(16, 17);
    const up = along(9, 0);
    const chest = along(12, 6);
    const front = hips.clone().add(shoulders).cross(up).normalize();
    return { hips, shoulders, up, chest, front };
  }

  stretch({ a, b, length, mesh: part }, start = this.points[a]) {
    const along = this.points[b].clone().sub(start);
    const now = Math.max(along.length(), 1e-4);
    part.position.copy(start);
    part.quaternion.setFromUnitVectors(UP, along.divideScalar(now));
    part.scale.set(1, now / length, 1);
  }

  // The head joint lies at the skull's base in most captures: the skull continues neck and chest.
  placeHead({ chest, shoulders }) {
    const s = this.size;
    const [neck, joint] = [this.points[12], this.points[15]];
    const tilt = joint.clone().sub(neck).normalize();
    const up = chest.clone().multiplyScalar(1.2).add(tilt).normalize();
    const front = shoulders.clone().cross(up).normalize();
    const left = up.clone().cross(front);
    this.head.position.copy(joint).addScaledVector(up, 0.075 * s).addScaledVector(front, 0.012 * s);
    this.head.quaternion.setFromRotationMatrix(new THREE.Matrix4().makeBasis(left, up, front));
    this.head.scale.set(0.075 * s, 0.11 * s, 0.094 * s);
    this.nose.position.copy(this.head.position).addScaledVector(front, 0.09 * s).addScaledVector(up, -0.012 * s);
    this.nose.quaternion.copy(this.head.quaternion);
    this.nose.scale.set(0.015 * s, 0.026 * s, 0.022 * s);
  }

  placeEnds(parts, right) {
    const s = this.size;
    const p = this.points;
    const along = p[20 + right].clone().sub(p[18 + right]).normalize();
    parts.hand.position.copy(p[20 + right]).addScaledVector(along, 0.07 * s);
    parts.hand.quaternion.setFromUnitVectors(UP, along);
    parts.hand.scale.set(0.034 * s, 0.085 * s, 0.034 * s);
    this.placeFoot(parts.foot, p[4 + right], p[7 + right], p[10 + right]);
  }

  // The bone from ankle to toe slopes down to the ball: the sole is that bone turned up by its rest slope.
  placeFoot(foot, knee, ankle, toe) {
    const s = this.size;
    const bone = toe.clone().sub(ankle);
    const length = Math.max(bone.length(), 1e-4);
    const along = bone.divideScalar(length);
    const across = knee.clone().sub(ankle).cross(along).normalize();
    const slope = Math.asin(Math.min(this.drop / length, 0.9));
    const sole = along.clone().applyAxisAngle(across, -slope);
    const top = sole.clone().cross(across).normalize();
    foot.position.copy(ankle).addScaledVector(top, 0.012 * s - this.drop).addScaledVector(sole, -0.03 * s);
    foot.quaternion.setFromRotationMatrix(new THREE.Matrix4().makeBasis(across, sole, top.negate()));
    foot.scale.set(1.05, 1, 0.95);
  }
}
