// The trunk: one closed surface of elliptic rings along the spine, rebuilt for every pose.
import * as THREE from 'three';

const RINGS = 30;
const SIDES = 28;

// Each control ring: centre from the joints, share of the shoulders' direction against the hips',
// half width and half depth in metres at reference size, shift to the front.
function controls(p, s, up, front) {
  const mid = (a, b, share = 0.5) => p[a].clone().lerp(p[b], share);
  const [hips, top] = [mid(1, 2), mid(16, 17)];
  const hip = Math.max(p[1].distanceTo(p[2]) / 2, 0.07 * s);
  const shoulder = Math.max(p[16].distanceTo(p[17]) / 2, 0.1 * s);
  const along = walker([hips, p[3], p[6], top]);
  const low = (metres) => hips.clone().addScaledVector(up, -metres * s);
  const throat = (share) => top.clone().lerp(p[12], share);
  const ring = (centre, turn, width, depth, shift = 0) =>
    ({ centre: centre.addScaledVector(front, shift * s), turn, width, depth: depth * s });
  return [
    ring(low(0.115), 0, 0.03 * s, 0.03),
    ring(low(0.095), 0, hip * 0.5 + 0.03 * s, 0.07),
    ring(low(0.035), 0, hip + 0.055 * s, 0.104, -0.006),
    ring(along(0.14), 0.05, hip + 0.05 * s, 0.104, -0.006),
    ring(along(0.4), 0.35, 0.5 * (hip + 0.028 * s) + 0.36 * shoulder, 0.092, 0.002),
    ring(along(0.6), 0.65, shoulder * 0.78, 0.098, 0.004),
    ring(along(0.78), 0.9, shoulder * 0.86, 0.102, 0.005),
    ring(along(0.94), 1, shoulder * 0.86, 0.086, 0),
    ring(along(1).addScaledVector(up, 0.024 * s), 1, shoulder * 0.72, 0.066, -0.006),
    ring(throat(0.55).addScaledVector(up, 0.022 * s), 1, shoulder * 0.46, 0.058),
    ring(throat(1).addScaledVector(up, 0.014 * s), 1, 0.066 * s, 0.055),
    ring(mid(12, 15, 0.3), 1, 0.045 * s, 0.046),
  ];
}

// The point at a share of the length of a polyline.
function walker(points) {
  const steps = points.slice(1).map((point, i) => point.distanceTo(points[i]));
  const total = steps.reduce((a, b) => a + b, 0);
  return (share) => {
    let rest = share * total;
    let i = 0;
    while (i < steps.length - 1 && rest > steps[i]) rest -= steps[i++];
    return points[i].clone().lerp(points[i + 1], rest / Math.max(steps[i], 1e-6));
  };
}

function spline(a, b, c, d, t) {
  return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t * t * t);
}

export class Torso {
  constructor(material, size) {
    this.size = size;
    this.geometry = new THREE.BufferGeometry();
    const positions = new Float32Array((RINGS * SIDES + 2) * 3);
    this.geometry.setAttribute('position', new THREE.BufferAttribute(positions, 3));
    this.geometry.setIndex(Torso.triangles());
    this.mesh = new THREE.Mesh(this.geometry, material);
    this.mesh.castShadow = this.mesh.receiveShadow = true;
    this.mesh.frustumCulled = false;
  }

  static triangles() {
    const faces = [];
    for (let r = 0; r + 1 < RINGS; r++) {
      for (let k = 0; k < SIDES; k++) {
        const next = (k + 1) % SIDES;
        const [a, b, c, d] = [r * SIDES + k, r * SIDES + next, (r + 1) * SIDES + k, (r + 1) * SIDES + next];
        faces.push(a, c, b, b, c, d);
      }
    }
    const [bottom, top] = [RINGS * SIDES, RINGS * SIDES + 1];
    for (let k = 0; k < SIDES; k++) {
      const next = (k + 1) % SIDES;
      faces.push(bottom, k, next, top, (RINGS - 1) * SIDES + next, (RINGS - 1) * SIDES + k);
    }
    return faces;
  }

  update(p, axes) {
    const rings = controls(p, this.size, axes.up, axes.front);
    const last = rings.length - 1;
    const at = (i) => rings[Math.min(last, Math.max(0, i))];
    const out = this.geometry.attributes.position;
    const centre = new THREE.Vector3();
    const side = new THREE.Vector3();
    const ahead = new THREE.Vector3();
    const spine = new THREE.Vector3();
    for (let r = 0; r < RINGS; r++) {
      const u = (r / (RINGS - 1)) * last;
      const i = Math.min(last - 1, Math.floor(u));
      const [a, b, c, d] = [at(i - 1), at(i), at(i + 1), at(i + 2)];
      const mix = (read) => spline(read(a), read(b), read(c), read(d), u - i);
      centre.set(mix((q) => q.centre.x), mix((q) => q.centre.y), mix((q) => q.centre.z));
      const turn = Math.min(1, Math.max(0, mix((q) => q.turn)));
      side.copy(axes.hips).lerp(axes.shoulders, turn).normalize();
      spine.copy(axes.up).lerp(axes.chest, turn).normalize();
      ahead.crossVectors(side, spine).normalize();
      const [width, depth] = [mix((q) => q.width), mix((q) => q.depth)];
      for (let k = 0; k < SIDES; k++) {
        const angle = (2 * Math.PI * k) / SIDES;
        const [x, z] = [Math.cos(angle), Math.sin(angle)];
        // Slightly squared ellipse: a chest is flatter in front than an egg.
        const bulge = Math.pow(x ** 4 + z ** 4, -0.12);
        out.setXYZ(
          r * SIDES + k,
          centre.x + bulge * (x * width * side.x + z * depth * ahead.x),
          centre.y + bulge * (x * width * side.y + z * depth * ahead.y),
          centre.z + bulge * (x * width * side.z + z * depth * ahead.z),
        );
      }
    }
    const [bottom, top] = [rings[0].centre, rings[last].centre];
    out.setXYZ(RINGS * SIDES, bottom.x, bottom.y, bottom.z);
    out.setXYZ(RINGS * SIDES + 1, top.x, top.y, top.z);
    out.needsUpdate = true;
    this.geometry.computeVertexNormals();
  }
}
