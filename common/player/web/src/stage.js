// One canvas behind the cells; every cell has its own figures and framing, all share one orbit.
import * as THREE from 'three';
import { OrbitControls } from 'three/examples/jsm/controls/OrbitControls.js';
import { JOINTS, pose } from './clips.js';
import { Figure, SOLE } from './figure.js';
import { FIELD } from './framing.js';
import { Ground, gridSpacing } from './ground.js';

const START = new THREE.Spherical(1, 1.32, 0.62);
const START_ROW = new THREE.Spherical(1, 1.3, 0.22); // a row is seen from its front
const NEAREST = 0.2; // of the distance from which the whole motion fits
const FARTHEST = 4;
const SHADOWED = 170; // pixels: in smaller cells the patches under feet and trunk do
const DEGREES = 180 / Math.PI;

export class Stage {
  constructor(element, canvas, embedded) {
    this.element = element;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: true });
    this.renderer.setClearColor(0, 0);
    this.renderer.setScissorTest(true);
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = THREE.PCFShadowMap;
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(FIELD, 1, 0.05, 500);
    this.ground = new Ground();
    this.scene.add(this.ground.group);
    this.figures = new Map();
    this.values = new Float32Array(JOINTS * 3);
    this.light();
    this.orbit(embedded);
  }

  light() {
    this.sky = new THREE.HemisphereLight(0xffffff, 0x8a8f9c, 1.5);
    this.key = new THREE.DirectionalLight(0xffffff, 2.3);
    this.rim = new THREE.DirectionalLight(0xffffff, 0.7);
    this.key.castShadow = true;
    this.key.shadow.mapSize.set(1024, 1024);
    this.key.shadow.radius = 5;
    this.key.shadow.normalBias = 0.02;
    this.scene.add(this.sky, this.key, this.key.target, this.rim, this.rim.target);
  }

  // The eye lives in units of the distance from which a motion fits, so that it means the same in every cell.
  orbit(embedded) {
    this.eye = new THREE.PerspectiveCamera(FIELD);
    this.usual = START;
    this.eye.position.setFromSpherical(START);
    if (embedded) this.keepPageScrolling();
    this.controls = new OrbitControls(this.eye, this.element);
    this.controls.enableDamping = false;
    this.controls.minDistance = NEAREST;
    this.controls.maxDistance = FARTHEST;
    this.controls.minPolarAngle = 0.05;
    this.controls.maxPolarAngle = 1.54;
    if (embedded) this.element.style.touchAction = 'pan-y';
    this.controls.addEventListener('change', () => this.onchange?.());
    this.controls.addEventListener('end', () => this.onend?.());
  }

  // Inside a longer page the wheel scrolls that page; with Ctrl or a pinch it zooms the figure.
  keepPageScrolling() {
    const guard = (event) => event.ctrlKey || event.stopImmediatePropagation();
    this.element.addEventListener('wheel', guard, { capture: true });
  }

  reset() {
    this.controls.target.set(0, 0, 0);
    this.aimFrom(this.usual.theta, this.usual.phi, this.usual.radius);
  }

  // Where an untouched view looks from.
  start(row) {
    const untouched = !this.view;
    this.usual = row ? START_ROW : START;
    if (untouched && this.view) this.reset();
  }

  arm() {
    return this.eye.position.clone().sub(this.controls.target);
  }

  // Turns by degrees and zooms by a factor about what the camera looks at.
  move({ around = 0, over = 0, nearer = 1 }) {
    const arm = new THREE.Spherical().setFromVector3(this.arm());
    this.aimFrom(arm.theta + around / DEGREES, arm.phi + over / DEGREES, arm.radius / nearer);
  }

  // Shifts the picture by shares of its height.
  pan(right, up) {
    const step = new THREE.Vector3(right, up, 0).multiplyScalar(2 * Math.tan(FIELD / DEGREES / 2) * this.arm().length());
    step.applyQuaternion(this.eye.quaternion);
    this.controls.target.add(step);
    this.eye.position.add(step);
    this.controls.update();
    this.onend?.();
  }

  aimFrom(theta, phi, radius) {
    const { minPolarAngle, maxPolarAngle } = this.controls;
    const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
    const arm = new THREE.Spherical(clamp(radius, NEAREST, FARTHEST), clamp(phi, minPolarAngle, maxPolarAngle), theta);
    this.eye.position.setFromSpherical(arm).add(this.controls.target);
    this.controls.update();
    this.onchange?.();
    this.onend?.();
  }

  // Direction in degrees around and above, and zoom; undefined as long as it is the usual one.
  get view() {
    const arm = new THREE.Spherical().setFromVector3(this.arm());
    const view = [arm.theta * DEGREES, 90 - arm.phi * DEGREES, 1 / arm.radius];
    const usual = [this.usual.theta * DEGREES, 90 - this.usual.phi * DEGREES, 1];
    return view.some((value, i) => Math.abs(value - usual[i]) > 0.01) ? view : undefined;
  }

  set view([around, above, zoom]) {
    this.aimFrom(around / DEGREES, (90 - above) / DEGREES, 1 / Math.max(zoom, 1e-3));
  }

  paint(theme) {
    this.theme = theme;
    this.ground.paint(theme.ink, theme.dark);
    this.sky.intensity = theme.dark ? 1.15 : 1.5;
    for (const figure of this.figures.values()) figure.darkness = theme.dark ? 0.6 : 0.34;
  }

  figure(clip) {
    if (!this.figures.has(clip.index)) {
      const made = new Figure(clip);
      made.darkness = this.theme.dark ? 0.6 : 0.34;
      made.group.visible = false;
      this.scene.add(made.group);
      this.figures.set(clip.index, made);
    }
    return this.figures.get(clip.index);
  }

  resize() {
    const { width, height } = this.element.getBoundingClientRect();
    if (!width || !height) return;
    [this.width, this.height] = [width, height];
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
    this.renderer.setSize(width, height, false);
  }

  // `cells` is [{ framing, box: { left, top, width, height } }] in CSS pixels within the stage; with `alike`
  // all are seen from one distance. Leaves in each cell where its figures' heads are, as `heads`. Returns
  // the grid's spacing in metres, the same in every cell.
  render(cells, frame, { alike, trail }) {
    this.trail = trail;
    this.key.castShadow = cells.some(({ box }) => Math.min(box.width, box.height) > SHADOWED);
    this.renderer.setScissor(0, 0, this.width, this.height);
    this.renderer.setViewport(0, 0, this.width, this.height);
    this.renderer.clear();
    const direction = this.arm().normalize();
    const away = cells.map(({ framing, box }) => framing.distance(direction, box.width / box.height));
    const farthest = Math.max(...away);
    const spacing = gridSpacing(Math.max(...cells.map(({ framing }) => framing.radius)));
    cells.forEach((cell, i) => {
      const { left, top, width, height } = cell.box;
      const bottom = this.height - top - height;
      this.renderer.setViewport(left, bottom, width, height);
      this.renderer.setScissor(left, bottom, width, height);
      this.draw(cell, frame, alike ? farthest : away[i], spacing);
    });
    return spacing;
  }

  draw(cell, frame, distance, spacing) {
    const { framing, box } = cell;
    const centre = framing.centre(frame);
    this.look(centre, distance, box.width / box.height);
    const floor = -SOLE * framing.size;
    this.ground.place(centre.x, floor, centre.z, framing.radius, spacing);
    this.aim(centre, framing);
    const shown = framing.entries.map((entry) => this.place(entry, frame, floor, 0.0045 * distance));
    this.renderer.render(this.scene, this.camera);
    cell.heads = shown.map((figure) => this.onScreen(figure.crown(), box));
    for (const figure of shown) figure.group.visible = false;
  }

  place({ clip, shift, delay, tone }, frame, floor, width) {
    const figure = this.figure(clip);
    const now = Math.min(Math.max(frame - delay, 0), clip.frames - 1);
    figure.paint(this.theme.groups[clip.group], tone);
    figure.update(pose(clip, now, this.values));
    figure.touch(floor);
    figure.trail.mesh.visible = this.trail;
    figure.trail.update(now, floor + 0.006 * figure.size, width);
    figure.group.position.set(shift[0], 0, shift[1]);
    figure.group.visible = true;
    return figure;
  }

  onScreen(point, { left, top, width, height }) {
    const seen = point.project(this.camera);
    return [left + (width * (1 + seen.x)) / 2, top + (height * (1 - seen.y)) / 2];
  }

  look(centre, distance, aspect) {
    const target = centre.clone().addScaledVector(this.controls.target, distance);
    const away = distance * this.arm().length();
    this.camera.aspect = aspect;
    this.camera.near = away * 0.02;
    this.camera.far = (away + distance) * 20;
    this.camera.position.copy(target).addScaledVector(this.arm(), distance);
    this.camera.lookAt(target);
    this.camera.updateProjectionMatrix();
    this.camera.updateMatrixWorld();
  }

  aim(centre, { size, radius, entries, follow }) {
    const reach = Math.max(1.9 * size, follow && entries.length === 1 ? 0 : radius + 0.6 * size);
    const scale = reach / 1.9;
    this.key.position.copy(centre).add(new THREE.Vector3(2.2, 5.2, 3.2).multiplyScalar(scale));
    this.key.target.position.copy(centre);
    this.rim.position.copy(centre).add(new THREE.Vector3(-3, 2.4, -3.4).multiplyScalar(scale));
    this.rim.target.position.copy(centre);
    const shadow = this.key.shadow.camera;
    Object.assign(shadow, { left: -reach, right: reach, top: reach, bottom: -reach, near: scale, far: 12 * scale });
    shadow.updateProjectionMatrix();
    for (const light of [this.key, this.rim]) light.target.updateMatrixWorld();
  }
}
