/*!
 * The motion player of fedmotion. It includes three.js, which is
 * Copyright (c) 2010-2026 three.js authors, The MIT License:
 *
 * Copyright © 2010-2026 three.js authors
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy
 * of this software and associated documentation files (the "Software"), to deal
 * in the Software without restriction, including without limitation the rights
 * to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
 * copies of the Software, and to permit persons to whom the Software is
 * furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in
 * all copies or substantial portions of the Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 * IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
 * FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 * AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
 * LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
 * OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN
 * THE SOFTWARE.
 */
// Starts every player of the page: an element `.player` with its data in a JSON block.
import { readClips } from './clips.js';
import { Player } from './player.js';

async function start(root) {
  try {
    const data = JSON.parse(document.getElementById(root.dataset.clips).textContent);
    new Player(root, { rate: data.rate, clips: await readClips(data) }, root.hasAttribute('data-embedded'));
  } catch (error) {
    const note = document.createElement('p');
    note.className = 'failure';
    note.textContent = `The motions cannot be shown: ${error.message} (WebGL is needed).`;
    root.replaceChildren(note);
  }
}

document.querySelectorAll('.player').forEach(start);
