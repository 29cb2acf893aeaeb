"""A folder of BVH files, one motion a file, with or without a manifest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from client.datasets.base import DataOptions
from client.datasets.manifest import given_file
from client.datasets.motion_folder import Clip, MotionFolder
from common.errors import InputError
from common.motion.bvh import SUFFIXES, joint_names, read_bvh
from common.motion.intake import Motion
from common.motion.joint_map import USUAL_NAME, JointMap, read_joint_map


def find_joint_map(folder: Path, given: str | None) -> JointMap | None:
    """The table that `given` names, or joints.toml in `folder`, or None."""
    if given is not None:
        return read_joint_map(given_file(folder, given))
    return read_joint_map(folder / USUAL_NAME) if (folder / USUAL_NAME).is_file() else None


class BvhFolder(MotionFolder):
    """A folder of BVH files as a data set.

    Which joints a skeleton has is a public fact of the set: the joint names of most files;
    files with others are mixed skeletons.
    """

    kind = "BVH"
    suffixes = SUFFIXES

    def __init__(self, folder: Path, options: DataOptions) -> None:
        self._joint_map = find_joint_map(folder, options.joints)
        super().__init__(folder, options)
        self._check_skeletons()

    def _read(self, clip: Clip) -> Motion:
        return read_bvh(clip.path, self._joint_map)

    def _check_skeletons(self) -> None:
        names: dict[str, tuple[str, ...]] = {}
        bad: dict[str, InputError] = {}
        for clip in self._clips:
            try:
                names[clip.key] = joint_names(clip.path)
            except InputError as error:
                bad[clip.key] = error
        usual = Counter(frozenset(n) for n in names.values()).most_common(1)
        for clip in self._clips:
            if clip.key in names and (odd := usual[0][0] ^ frozenset(names[clip.key])):
                # Never left out by skip_bad: which are odd would depend on everybody's files.
                raise InputError(
                    f"{clip.path}: mixed skeletons: joint {min(odd)} is not in both this file and most "
                    "others; keep one skeleton in a folder, also with --skip-bad"
                )
            if clip.key in bad:
                self.findings.refuse(clip.key, bad[clip.key])
        self._clips = [clip for clip in self._clips if clip.key not in bad]
        if not self._clips:
            raise InputError(
                f"{self._folder}: no readable BVH file is left; see the files' own errors without --skip-bad"
            )
