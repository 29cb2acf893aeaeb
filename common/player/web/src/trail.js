// The root's path on the floor: strong where the figure has been, faint where it will go.
import * as THREE from 'three';
import { JOINTS } from './clips.js';

const VERTEX = `
  attribute vec2 side; attribute float time;
  uniform float width;
  varying float when;
  void main() {
    when = time;
    vec3 place = position + width * vec3(side.x, 0.0, side.y);
    gl_Position = projectionMatrix * modelViewMatrix * vec4(place, 1.0);
  }`;

const FRAGMENT = `
  uniform vec3 colour; uniform float now;
  varying float when;
  void main() {
    gl_FragColor = vec4(colour, when <= now ? 0.85 : 0.28);
    #include <colorspace_fragment>
  }`;

export class Trail {
  constructor(clip) {
    this.uniforms = { colour: { value: new THREE.Color() }, now: { value: 0 }, width: { value: 0.01 } };
    const material = new THREE.ShaderMaterial({
      uniforms: this.uniforms, vertexShader: VERTEX, fragmentShader: FRAGMENT,
      transparent: true, depthWrite: false, side: THREE.DoubleSide,
    });
    this.mesh = new THREE.Mesh(ribbon(clip), material);
    this.mesh.renderOrder = 3;
    this.mesh.frustumCulled = false;
  }

  update(frame, floor, width) {
    this.uniforms.now.value = frame;
    this.uniforms.width.value = width;
    this.mesh.position.y = floor;
  }
}

// Two corners a frame, on either side of the path.
function ribbon(clip) {
  const at = (t, axis) => clip.joints[Math.min(Math.max(t, 0), clip.frames - 1) * JOINTS * 3 + axis];
  const [positions, sides, times, faces] = [[], [], [], []];
  let side = [1, 0];
  for (let t = 0; t < clip.frames; t++) {
    const [dx, dz] = [at(t + 1, 0) - at(t - 1, 0), at(t + 1, 2) - at(t - 1, 2)];
    const length = Math.hypot(dx, dz);
    if (length > 1e-3) side = [-dz / length, dx / length];
    for (const sign of [1, -1]) {
      positions.push(at(t, 0), 0, at(t, 2));
      sides.push(sign * side[0], sign * side[1]);
      times.push(t);
    }
    if (t > 0) faces.push(2 * t - 2, 2 * t - 1, 2 * t, 2 * t, 2 * t - 1, 2 * t + 1);
  }
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute('position', new THREE.Float32BufferAttribute(positions, 3));
  geometry.setAttribute('side', new THREE.Float32BufferAttribute(sides, 2));
  geometry.setAttribute('time', new THREE.Float32BufferAttribute(times, 1));
  geometry.setIndex(faces);
  return geometry;
}
