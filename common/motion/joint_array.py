"""Arrays of joint positions or of HumanML3D vectors: `.npy` files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.intake import Motion, check_numbers, settle
from common.motion.skeleton import FRAME_RATE, JOINTS

Floats = NDArray[np.float64]

SUFFIX: Final = ".npy"
VECTOR: Final = 263
_LARGEST: Final = 2 << 30  # bytes; six hours of joints at 100 fps take 570 MB
_KIT: Final = ((21, 3), (251,))


def read_joint_array(path: Path, rate: float = FRAME_RATE) -> Motion:
    """Read `[frames, 22, 3]`, `[frames, 66]` (positions) or `[frames, 263]` (HumanML3D vectors).

    An array does not say how fast it was recorded: `rate` does. Up axis and unit are found
    as `common.motion.intake.settle` says, Y up where nobody stands; vectors are metres at
    20 fps by definition. Raises InputError on anything else, KIT-ML by name.
    """
    array = load_array(path)
    if array.shape[1:] in _KIT:
        raise InputError(
            f"{path}: KIT-ML (21 joints, 12.5 fps, another skeleton) is not read; give HumanML3D, or KIT's"
            " recordings as C3D or BVH"
        )
    if array.shape[1:] == (VECTOR,):
        return _settled_vectors(path, array)
    if array.shape[1:] not in ((JOINTS, 3), (JOINTS * 3,)):
        raise InputError(
            f"{path}: an array {list(array.shape)} is none of [frames, {JOINTS}, 3], [frames, {JOINTS * 3}]"
            f" and [frames, {VECTOR}]; name the joints in a BVH or C3D file"
        )
    joints = array.reshape(len(array), JOINTS, 3)
    return settle(path, joints, rate, up=(0, 1, 0), skeleton=f"{JOINTS} joints by order")


def load_array(path: Path) -> Floats:
    """The numbers of a `.npy` file, `[frames, ...]`, float64 and finite; nothing in it is executed."""
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise InputError(f"{path}: {size >> 20} MiB are no one motion; cut the recording")
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except Exception as error:  # a corrupt header breaks numpy in many ways
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: not a readable array of numbers ({line}); save it again") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim < 2:
        raise InputError(f"{path}: not an array of numbers, one row a frame; save it again")
    if not array.size:
        raise InputError(f"{path}: an array {list(array.shape)} holds no frames; remove the file")
    values = array.astype(np.float64)
    check_numbers(path, values)
    return values


def _settled_vectors(path: Path, vectors: Floats) -> Motion:
    from common.motion.humanml3d import from_humanml3d

    check_numbers(path, vectors, 1e3)
    joints = from_humanml3d(vectors)
    return settle(path, joints, FRAME_RATE, up=(0, 1, 0), unit="m", skeleton="HumanML3D vectors")
