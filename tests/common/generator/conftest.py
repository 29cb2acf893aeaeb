"""One public crowd and one codec for all tests of the generator."""

from __future__ import annotations

import pytest
from torch import Tensor

from common.generator.motion_codec import MotionCodec, fit_motion_codec
from common.motion.population import BASIC_ACTIONS, PUBLIC
from tests.common.people import crowd


@pytest.fixture(scope="package")
def public() -> tuple[Tensor, Tensor]:
    return crowd(PUBLIC, 31, 140)


@pytest.fixture(scope="package")
def codec(public: tuple[Tensor, Tensor]) -> MotionCodec:
    """Knows one label, `climb`, of which there is no public motion."""
    return fit_motion_codec(*public, [*BASIC_ACTIONS, "climb"], 20)
