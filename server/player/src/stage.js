// One canvas behind a grid of cells; every cell has its own figure and camera, all share one orbit.
import * as THREE from 'three';
import { OrbitControls } from 'three/examples/jsm/controls/OrbitControls.js';
import { JOINTS, pose, rootAt } from './clips.js';
import { Figure, SOLE } from './figure.js';
import { Ground, gridSpacing } from './ground.js';

const FIELD = 26; // degrees, vertical
const MARGIN = 1.06;
const FLESH = 0.09; // metres of flesh around the joints at reference size
const HAIR = 0.22; // metres from the head joint to above the crown at reference size
const START = new THREE.Spherical(1, 1.32, 0.62);

export class Stage {
  constructor(element, canvas, embedded) {
    this.element = element;
    this.canvas = canvas;
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
    this.follow = true;
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

  orbit(embedded) {
    this.eye = new THREE.PerspectiveCamera();
    this.eye.position.setFromSpherical(START);
    if (embedded) this.keepPageScrolling();
    this.controls = new OrbitControls(this.eye, this.element);
    this.controls.enablePan = false;
    this.controls.enableDamping = false;
    this.controls.minDistance = 0.3;
    this.controls.maxDistance = 3;
    this.controls.minPolarAngle = 0.05;
    this.controls.maxPolarAngle = 1.54;
    this.controls.saveState();
    if (embedded) this.element.style.touchAction = 'pan-y';
    this.controls.addEventListener('change', () => this.onchange?.());
  }

  // Inside a longer page the wheel scrolls that page; with Ctrl or a pinch it zooms the figure.
  keepPageScrolling() {
    const guard = (event) => event.ctrlKey || event.stopImmediatePropagation();
    this.element.addEventListener('wheel', guard, { capture: true });
  }

  reset() {
    this.controls.reset();
  }

  zoom(factor) {
    const length = Math.min(3, Math.max(0.3, this.eye.position.length() * factor));
    this.eye.position.setLength(length);
    this.controls.update();
    this.onchange?.();
  }

  paint(theme) {
    this.theme = theme;
    this.ground.paint(theme.ink, theme.dark);
    this.sky.intensity = theme.dark ? 1.15 : 1.5;
    for (const figure of this.figures.values()) figure.paint(theme.groups[figure.clip.group]);
  }

  figure(clip) {
    if (!this.figures.has(clip.index)) {
      const made = new Figure(clip, this.theme.groups[clip.group]);
      made.group.visible = false;
      this.scene.add(made.group);
      this.figures.set(clip.index, made);
    }
    return this.figures.get(clip.index);
  }

  resize() {
    const { width, height } = this.element.getBoundingClientRect();
    if (!width || !height) return;
    this.width = width;
    this.height = height;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
    this.renderer.setSize(width, height, false);
  }

  // `cells` is [{ clip, box: { left, top, width, height } }] in CSS pixels within the stage; with `alike`
  // all are seen from one distance. Returns the grid's spacing in metres, the same in every cell.
  render(cells, frame, alike) {
    this.renderer.setScissor(0, 0, this.width, this.height);
    this.renderer.setViewport(0, 0, this.width, this.height);
    this.renderer.clear();
    const views = cells.map(({ clip, box }) => this.view(clip, frame, box.width / box.height));
    const farthest = Math.max(...views.map((view) => view.distance));
    const spacing = gridSpacing(Math.max(...views.map((view) => view.radius)));
    views.forEach((view, i) => {
      const { left, top, width, height } = cells[i].box;
      const bottom = this.height - top - height;
      this.renderer.setViewport(left, bottom, width, height);
      this.renderer.setScissor(left, bottom, width, height);
      this.draw(alike ? { ...view, distance: farthest } : view, frame, spacing);
    });
    return spacing;
  }

  draw(view, frame, spacing) {
    const { clip, target } = view;
    const figure = this.figure(clip);
    figure.update(pose(clip, frame, this.values));
    this.look(view);
    const floor = -SOLE * clip.size;
    this.ground.place(target.x, floor, target.z, view.radius, spacing);
    this.ground.touch(figure.points, floor, clip.size);
    this.aim(figure.points[0], target.y, clip.size);
    figure.group.visible = true;
    this.renderer.render(this.scene, this.camera);
    figure.group.visible = false;
  }

  // Where the camera looks and how far away the whole motion fits, whatever the cell's shape and the tilt.
  view(clip, frame, aspect) {
    const { low, high, moving, whole, middle } = clip.extent;
    const [x, z] = this.follow ? rootAt(clip, frame) : middle;
    const flesh = FLESH * clip.size;
    const [bottom, top] = [Math.min(low, 0) - 2 * SOLE * clip.size, high + HAIR * clip.size];
    const target = new THREE.Vector3(x, (bottom + top) / 2, z);
    const height = (y) => (y === low ? bottom : y >= high - 1e-6 ? top : y) - target.y;
    const points = (this.follow ? moving : whole).map((point) => [height(point.y), point.radius + flesh, point.angle]);
    const direction = this.eye.position.clone().normalize();
    const distance = MARGIN * fit(points, direction, aspect);
    const radius = Math.max(...points.map(([y, r]) => Math.max(Math.abs(y), r)));
    return { clip, aspect, target, direction, distance, radius };
  }

  look({ aspect, target, direction, distance }) {
    const away = distance * this.eye.position.length();
    this.camera.aspect = aspect;
    this.camera.near = away * 0.02;
    this.camera.far = away * 20;
    this.camera.position.copy(target).addScaledVector(direction, away);
    this.camera.lookAt(target);
    this.camera.updateProjectionMatrix();
  }

  aim(root, y, size) {
    const reach = 1.9 * size;
    const middle = new THREE.Vector3(root.x, y, root.z);
    this.key.position.copy(middle).add(new THREE.Vector3(2.2, 5.2, 3.2).multiplyScalar(size));
    this.key.target.position.copy(middle);
    this.rim.position.copy(middle).add(new THREE.Vector3(-3, 2.4, -3.4).multiplyScalar(size));
    this.rim.target.position.copy(middle);
    const shadow = this.key.shadow.camera;
    Object.assign(shadow, { left: -reach, right: reach, top: reach, bottom: -reach, near: size, far: 12 * size });
    shadow.updateProjectionMatrix();
    for (const light of [this.key, this.rim]) light.target.updateMatrixWorld();
  }
}

// Distance at which points [height, radius, angle] about the target fit the field of view: a point at
// depth q towards the camera and offsets (h, v) on the screen needs q + max(|h| / tan, |v| / tan).
function fit(points, back, aspect) {
  const right = new THREE.Vector3(0, 1, 0).cross(back).normalize();
  const up = back.clone().cross(right);
  const vertical = Math.tan((FIELD * Math.PI) / 360);
  const place = new THREE.Vector3();
  let distance = 0;
  for (const [y, radius, angle] of points) {
    place.set(radius * Math.cos(angle), y, radius * Math.sin(angle));
    const across = Math.abs(place.dot(right)) / (vertical * aspect);
    const along = Math.abs(place.dot(up)) / vertical;
    distance = Math.max(distance, place.dot(back) + Math.max(across, along));
  }
  return distance;
}
