// The floor: a fading metric grid, the cast shadow, soft contact patches under feet and trunk.
import * as THREE from 'three';

const SPACINGS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50];

const FLAT = `
  varying vec2 place;
  void main() {
    vec4 world = modelMatrix * vec4(position, 1.0);
    place = world.xz;
    gl_Position = projectionMatrix * viewMatrix * world;
  }`;

const GRID = `
  uniform vec3 ink; uniform vec2 middle; uniform float spacing; uniform float reach; uniform float strength;
  varying vec2 place;
  float line(float step, float width) {
    vec2 cell = place / step;
    vec2 edge = abs(fract(cell - 0.5) - 0.5) / max(fwidth(cell), 1e-5);
    return 1.0 - smoothstep(width - 0.5, width + 0.5, min(edge.x, edge.y));
  }
  void main() {
    float fade = 1.0 - smoothstep(0.35, 1.0, length(place - middle) / reach);
    float grid = max(0.55 * line(spacing, 0.6), line(2.0 * spacing, 0.9));
    gl_FragColor = vec4(ink, strength * grid * fade);
  }`;

const PATCH = `
  uniform float opacity;
  varying vec2 spot;
  void main() {
    float r = length(spot);
    gl_FragColor = vec4(0.0, 0.0, 0.0, opacity * pow(max(1.0 - r, 0.0), 1.6));
  }`;

const SPOT = `
  varying vec2 spot;
  void main() {
    spot = 2.0 * uv - 1.0;
    gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
  }`;

function flat(width) {
  return new THREE.PlaneGeometry(width, width).rotateX(-Math.PI / 2);
}

function patch() {
  const material = new THREE.ShaderMaterial({
    uniforms: { opacity: { value: 0 } },
    vertexShader: SPOT,
    fragmentShader: PATCH,
    transparent: true,
    depthWrite: false,
  });
  const made = new THREE.Mesh(flat(1), material);
  made.renderOrder = 2;
  made.frustumCulled = false;
  return made;
}

// A grid square is about a third of the framed radius, in round metres.
export function gridSpacing(radius) {
  return SPACINGS.find((spacing) => spacing >= 0.28 * radius) ?? SPACINGS[SPACINGS.length - 1];
}

export class Ground {
  constructor() {
    this.group = new THREE.Group();
    this.uniforms = {
      ink: { value: new THREE.Color() },
      middle: { value: new THREE.Vector2() },
      spacing: { value: 0.5 },
      reach: { value: 3 },
      strength: { value: 0.3 },
    };
    const grid = new THREE.ShaderMaterial({
      uniforms: this.uniforms, vertexShader: FLAT, fragmentShader: GRID, transparent: true, depthWrite: false,
    });
    this.grid = new THREE.Mesh(flat(1), grid);
    this.shadow = new THREE.Mesh(flat(1), new THREE.ShadowMaterial({ opacity: 0.2, depthWrite: false }));
    this.shadow.receiveShadow = true;
    this.shadow.renderOrder = 1;
    this.group.add(this.grid, this.shadow);
  }

  paint(ink, dark) {
    this.uniforms.ink.value.set(ink);
    this.uniforms.strength.value = dark ? 0.36 : 0.3;
    this.shadow.material.opacity = dark ? 0.42 : 0.17;
  }

  // `radius` is that of the framed motion, `spacing` the grid's, both in metres.
  place(x, y, z, radius, spacing) {
    const reach = 2.6 * radius;
    this.uniforms.middle.value.set(x, z);
    this.uniforms.spacing.value = spacing;
    this.uniforms.reach.value = reach;
    for (const sheet of [this.grid, this.shadow]) {
      sheet.position.set(x, y, z);
      sheet.scale.set(2 * reach, 1, 2 * reach);
    }
    this.shadow.position.y = y + 0.002 * radius;
  }
}

// What a figure darkens where it is near the floor: under its trunk and either foot.
export class Contact {
  constructor() {
    this.patches = [patch(), patch(), patch()];
  }

  touch(points, y, size, darkness) {
    const feet = [[7, 10], [8, 11]].map(([a, b]) => points[a].clone().lerp(points[b], 0.55));
    [points[0], ...feet].forEach((at, i) => {
      const height = Math.max(at.y - y, 0) / size;
      const near = i === 0 ? 0.5 * Math.exp(-0.35 * height) : Math.exp(-7 * Math.max(height - 0.06, 0));
      const width = (i === 0 ? 1.15 : 0.36 + 0.5 * Math.min(height, 0.5)) * size;
      this.patches[i].position.set(at.x, y + (0.003 + 0.001 * i) * size, at.z);
      this.patches[i].scale.set(width, 1, width);
      this.patches[i].material.uniforms.opacity.value = darkness * near;
    });
  }
}
