"""How each method is run on images, and what its rows differ in from the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_MOVED: Final = {"motions": 1, "points": 1000, "move_steps": 200, "move_rate": 0.1, "fit_steps": 1500}

SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "moments": {"options": {"motions": 1, "covariance": "diagonal", "fit_steps": 800}},
    "dp_merf": {"options": {**_MOVED, "frequencies": "gaussian", "count": 2000, "bandwidth": 30.0}},
    "dp_mepf": {"options": {**_MOVED, "units": 2500}},
    "gs_wgan": {
        "rounds": 100,
        "sampling_rate": 0.003,
        "clip_norm": 1.0,
        "options": {"motions": 1, "samples": 50, "critic_width": 8, "warm_steps": 5, "critic_steps": 1},
    },
    "psg": {
        "rounds": 150,
        "sampling_rate": 0.02,
        "clip_norm": 1.0,
        "options": {
            "motions": 1, "per_label": 20, "hidden": 64, "set_rate": 0.05, "kernel": 0.3, "fit_steps": 1500,
        },
    },
}  # fmt: skip
"""Over what a method usually takes. Found on the first 50,000 training images of MNIST, without noise, and
tried on the last 10,000 of them: neither t10k images nor Fashion-MNIST had a say."""

_TRIED: Final = "Without noise, learnt from 50,000 training images and tried on the last 10,000,"
_REAL: Final = "(real images: 95.1 on t10k)"

DEVIATIONS: Final[Mapping[str, str]] = {
    "dpdm": """\
180,000 images are seen in all, each at 4 noise levels (published: 18 million at 32, so 800 times the work),
by an MLP of 39,064 parameters on half the resolution (a U-Net of 1.75 million on pixels); recognisers see a
twelfth of the images in few steps, which on real images costs the CNN 4.5 points on MNIST (published 99.6).
That epsilon 1 and 10 lie close together says that the size of the run binds here rather than the noise. None
of these was varied alone.""",
    "moments": f"""\
Nothing like it is published for these sets. One release of 4,323 numbers: each class's share, mean and
variances of the 14 x 14 cosines; correlations are left out, since their 19,306 numbers a class carry noise
that at epsilon 1 outweighs them (a deviation of 0.18 in covariances of latents whose variance is about 1).
{_TRIED} the CNN reached 85.2 % {_REAL}.""",
    "dp_merf": f"""\
One release of 2,000 Gaussian frequencies on 14 x 14 cosines (published: 10,000 on pixels), to which 1,000
latents are moved in 200 steps; the denoiser learns them in 1,500 (published: a convolutional generator).
{_TRIED} recognisers that learnt from the latents themselves reached, CNN: 84.3 % {_REAL}; 82.5 % with 1,000
frequencies at bandwidth 20, 77.3 % at 10, and 71.2 % with the defaults, which are for motions (512 ordered).
So bandwidth and frequencies decide, and the noise of one release over 60,000 images hardly shows.""",
    "dp_mepf": f"""\
There is no public network here: features are those of a fixed random layer of 2,500 units over the cosines,
and their squares. The published figures rest on a network trained on public images, and must be expected to
be higher. {_TRIED} the CNN reached 82.4 % on the moved latents {_REAL}; 80.1 % with 1,000 units, 76.4 % with
256.""",
    "gs_wgan": f"""\
A critic for each image, of which 180 are drawn a round (published: 1,000 critics of 60 images each, one of
them a round, 20,000 rounds), and one clip over the 50 gradients of a round; critics have one layer of 8, and
take 6 steps. Critics of 60 images would be 1,000 that all answer, as no proof of amplification holds for
them: by the accountant a round's mean would carry 5 times the noise at epsilon 10 and 19 times at 1.
{_TRIED} the CNN reached 78.4 % {_REAL};
79.6 % with 64 samples, 12 steps a critic and 250 critics a round, at 2.7 times the work.""",
    "psg": f"""\
20 latents a class, moved in 150 rounds by the gradients of an MLP with a layer of 64 (published: pixels, a
ConvNet, 10,000 releases an outer loop); a denoiser is then trained on the set, smoothed, and recognisers
on 5,000 images that it draws, where the published ones learn from the set itself. {_TRIED} the CNN reached
81.6 % {_REAL}, before latents were held within a public radius.""",
}
"""Of accuracy in percent on MNIST; what was found without noise was found while settings were sought."""
