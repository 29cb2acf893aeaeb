"""Laws of every codec: what it is told about, one row at a time, and nothing that a server can abuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from client.exactness import unmoved
from common.errors import InputError
from common.generator.bounds import MOST_LATENT
from common.generator.codec import LATENT_BOUND, Codec
from common.generator.codecs import PublicMotions, fit_codec, load_codec
from common.generator.identity_codec import IdentityCodec
from common.generator.scale import Scale
from common.motion.features import from_features, to_features
from common.motion.population import BASIC_ACTIONS
from common.motion.recording import SKELETON, Modality
from common.motion.sensors import SENSOR
from simulations.codec import read_vae

LABELS = (*BASIC_ACTIONS, "climb")
ORIGIN = "a crowd of procedural people"
KINDS = ("structured", "pca", "identity", "vae", "sensor", "sensor pca", "sensor identity")
Case = tuple[Codec, Tensor, Tensor]


def _random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _sensors(count: int, seed: int) -> Tensor:
    """Made-up watches: gravity on one axis and slow waves."""
    time = torch.arange(SENSOR.window) / SENSOR.rate
    phase = torch.rand(count, 1, 6, generator=_random(seed)) * 6
    waves = torch.sin(3 * time[:, None] + phase) + 0.1 * torch.randn(count, 64, 6, generator=_random(seed))
    return waves + torch.tensor([0.0, 9.8, 0.0, 0.0, 0.0, 0.0])


@pytest.fixture(scope="package")
def cases(public: tuple[Tensor, Tensor], codec: Codec) -> dict[str, Case]:
    """Each codec with 64 windows of others than it was fitted on."""
    motions = PublicMotions(public[0][64:], public[1][64:], LABELS, ORIGIN)
    worn = PublicMotions(_sensors(200, 1), torch.zeros(200, dtype=torch.int64), ("walk",), ORIGIN)
    probes, labels = public[0][:64], public[1][:64]
    fitted = {kind: fit_codec(kind, motions, SKELETON, LABELS, 20) for kind in ("pca", "identity")}
    fitted |= {"structured": codec, "vae": replace(read_vae(), labels=LABELS)}
    sensors = {
        "sensor": fit_codec("sensor", None, SENSOR, ("walk",), 32),
        "sensor pca": fit_codec("pca", worn, SENSOR, ("walk",), 32),
        "sensor identity": fit_codec("identity", worn, SENSOR, ("walk",), 32),
    }
    found = {kind: (one, probes, labels) for kind, one in fitted.items()}
    return found | {kind: (one, _sensors(64, 2), torch.zeros_like(labels)) for kind, one in sensors.items()}


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Case:
    return cases[request.param]


def test_shapes_go_there_and_back(case: Case) -> None:
    codec, windows, labels = case
    latents = codec.encode(windows, labels)
    back = codec.decode(latents, labels, _random())
    frames = codec.modality.window
    assert latents.shape == (64, codec.latent) and latents.dtype == torch.float32
    assert codec.frames * codec.channels == codec.latent
    assert back.shape == (64, frames, *windows.shape[2:])
    assert torch.isfinite(back).all()


def test_latents_are_finite_and_within_the_public_bound(case: Case) -> None:
    codec, windows, labels = case
    for rows in (windows, windows * 50):
        latents = codec.encode(rows, labels)
        assert latents.abs().max() <= LATENT_BOUND


def test_lengths_of_latents_follow_those_of_windows(case: Case) -> None:
    codec = case[0]
    lengths = codec.latent_lengths(torch.tensor([1, 5, codec.modality.window]))
    assert lengths[-1] == codec.frames and (lengths >= 1).all() and (lengths <= codec.frames).all()


def _alone(encode: Callable[[Tensor], Tensor], windows: Tensor) -> bool:
    """Whether no row's bits depend on where it stands or on what the others are."""
    first = encode(windows)
    others = torch.cat([windows[:1], windows[1:].flip(0) * 1.1])
    return unmoved(lambda places: encode(windows[places]), len(windows)) and torch.equal(
        encode(others)[0], first[0]
    )


def test_a_row_keeps_its_bits_wherever_it_stands(case: Case) -> None:
    codec, windows, _ = case
    for label in (0, len(codec.labels)):
        same = torch.full((64,), label)
        assert _alone(lambda rows, same=same: codec.encode(rows, same), windows)  # type: ignore[misc]


def test_the_check_of_single_rows_catches_a_batch_statistic(cases: dict[str, Case]) -> None:
    codec, windows, labels = cases["vae"]
    assert not _alone(lambda rows: codec.encode(rows - rows.mean(dim=0), labels), windows)


def test_a_broken_row_spoils_no_other(case: Case) -> None:
    codec, windows, labels = case
    spoilt = windows.clone()
    spoilt[3] = torch.nan
    latents, keep = codec.encode(spoilt, labels), torch.arange(64) != 3
    assert torch.equal(latents[keep], codec.encode(windows, labels)[keep])
    assert not torch.isfinite(latents[3]).all()


def test_arrays_and_json_bring_back_the_same_bits(case: Case) -> None:
    codec, windows, labels = case
    again = load_codec(codec.arrays(), json.loads(json.dumps(codec.description())))
    latents = codec.encode(windows, labels)
    assert again.modality == codec.modality and again.labels == codec.labels
    assert again.description() == codec.description()
    assert torch.equal(again.encode(windows, labels), latents)
    assert torch.equal(*[one.decode(latents, labels, _random()) for one in (codec, again)])
    assert len(codec.arrays()) <= 64


def test_a_codec_says_what_it_was_fitted_on(cases: dict[str, Case]) -> None:
    for kind in KINDS:
        description = cases[kind][0].description()
        fitted = kind != "sensor"
        assert (description["public_sha256"] is not None) == fitted, kind
        assert not fitted or len(description["public_sha256"]) == 64
    assert cases["pca"][0].description()["public_origin"] == ORIGIN
    assert "procedural people" in cases["vae"][0].description()["public_origin"]


def test_the_hash_covers_windows_labels_and_names(public: tuple[Tensor, Tensor]) -> None:
    motions = PublicMotions(*public, LABELS, ORIGIN)
    moved, labels = public[0].clone(), public[1].clone()
    moved[5, 3, 2, 1] += 1e-4
    labels[7] = len(LABELS)
    others = [replace(motions, windows=moved), replace(motions, labels=labels),
              replace(motions, names=("stroll", *LABELS[1:]))]  # fmt: skip
    assert len({motions.sha256, *(other.sha256 for other in others)}) == 4


def test_identity_loses_nothing_and_needs_no_public_data(public: tuple[Tensor, Tensor]) -> None:
    codec = fit_codec("identity", None, SKELETON, LABELS, 32)
    assert codec.description()["public_sha256"] is None
    frames = Scale.fixed(SKELETON).forward(SKELETON, public[0])
    assert frames.abs().max() < LATENT_BOUND  # jumps, runs and kicks of all sizes
    back = codec.decode(codec.encode(*public), public[1], _random())
    assert (back - from_features(to_features(public[0]))).norm(dim=-1).max() < 1e-4


@pytest.mark.parametrize("window", [20, 61, 196])
def test_sequence_codecs_serve_other_lengths(window: int, public: tuple[Tensor, Tensor]) -> None:
    modality = replace(SKELETON, window=window)
    windows = torch.cat([public[0][:8]] * 4, dim=1)[:, : window + 1]
    for codec in (
        fit_codec("identity", None, modality, LABELS, 32),
        replace(read_vae(), modality=modality, labels=LABELS),
    ):
        latents = codec.encode(windows, public[1][:8])
        assert latents.shape == (8, codec.latent) and codec.latent <= MOST_LATENT
        assert codec.decode(latents, public[1][:8], _random()).shape == (8, window, 22, 3)


@pytest.mark.parametrize(("kind", "modality", "said"), [
    ("structured", SENSOR, "sensor, pca or identity"), ("sensor", SKELETON, "structured, pca"),
    ("wavelet", SKELETON, "structured, pca"), ("structured", SKELETON, "give some"),
    ("pca", SENSOR, "give some"), ("vae", SKELETON, "structured"),
])  # fmt: skip
def test_what_does_not_fit_together_is_refused(kind: str, modality: Modality, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit_codec(kind, None, modality, LABELS, 32)


def test_too_long_a_latent_and_too_small_a_corpus_are_refused() -> None:
    long = replace(SENSOR, window=4096)
    with pytest.raises(InputError, match="24576 numbers"):
        fit_codec("identity", None, long, (), 32)
    few = PublicMotions(_sensors(40, 1), torch.zeros(40, dtype=torch.int64), (), ORIGIN)
    with pytest.raises(InputError, match="needs at least 64"):
        fit_codec("pca", few, SENSOR, (), 32)


def _at(description: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    changed: Any = json.loads(json.dumps(description))
    inner = changed
    *keys, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    for key in keys:
        inner = inner[key]
    inner[last] = value
    return dict(changed)


HUGE = 10**12
HOSTILE = [
    ("structured", "modality/window", HUGE), ("structured", "modality/window", "60"),
    ("structured", "modality/rate", float("nan")), ("structured", "modality/kind", "video"),
    ("structured", "modality", None), ("structured", "latent", HUGE), ("structured", "latent", True),
    ("structured", "labels", "walk"), ("structured", "labels", ["x"] * 5000), ("structured", "labels", [1]),
    ("structured", "of", [HUGE]), ("structured", "of", [-1] * 8), ("structured", "entries", {}),
    ("structured", "entries", [None] * 8), ("structured", "entries/0/harmonics", HUGE),
    ("structured", "entries/0/slow", -1), ("structured", "entries/0/low", 0),
    ("structured", "entries/0/high", 0),
    ("structured", "entries/0/phase", "left_ear"), ("structured", "entries/0/frames", 4096),
    ("structured", "entries/0/kind", "wavelet"), ("structured", "entries/2/path", HUGE),
    ("structured", "entries/2/pace", HUGE), ("structured", "entries/2/frames", HUGE),
    ("structured", "entries/2/idle", float("inf")), ("structured", "entries/4/inner", None),
    ("structured", "entries/6/share", 0.0), ("structured", "entries/6/first", {"kind": "choice"}),
    ("pca", "latent", HUGE), ("pca", "latent", 19), ("pca", "modality/channels", ["x"] * 10**4),
    ("pca", "public_origin", "x" * 10**6), ("identity", "modality/window", HUGE),
    ("identity", "modality/window", 4096), ("vae", "width", HUGE), ("vae", "width", 64),
    ("vae", "latent_channels", HUGE), ("vae", "modality/kind", "sensor"), ("vae", "modality/window", HUGE),
    ("sensor", "kept", HUGE), ("sensor", "kept", 0), ("sensor", "modality/window", HUGE),
    ("sensor", "modality/channels", ["pressure"]), ("sensor identity", "modality/window", 4096),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "value"), HOSTILE)
def test_a_hostile_description_is_refused(
    cases: dict[str, Case], kind: str, path: str, value: object
) -> None:
    codec = cases[kind][0]
    with pytest.raises(InputError):
        load_codec(codec.arrays(), _at(codec.description(), path, value))


def test_handed_in_handed_goes_no_deeper(cases: dict[str, Case]) -> None:
    codec = cases["structured"][0]
    nested: dict[str, Any] = {"kind": "handed", "inner": None}
    for _ in range(5000):
        nested = {"kind": "handed", "inner": nested}
    description = dict(codec.description())
    description["entries"] = [nested, *description["entries"][1:]]
    with pytest.raises(InputError, match="transform"):
        load_codec(codec.arrays(), description)


@pytest.mark.parametrize("spoil", ["missing", "shape", "nan", "wide"])
def test_arrays_that_do_not_fit_are_refused(case: Case, spoil: str) -> None:
    codec = case[0]
    for name, array in codec.arrays().items():
        changed = {"shape": array.flatten()[:-1], "nan": array * torch.nan, "wide": array.double()}
        arrays = {other: value for other, value in codec.arrays().items() if other != name}
        if spoil != "missing":
            arrays[name] = changed[spoil]
        with pytest.raises(InputError):
            load_codec(arrays, codec.description())


def test_a_unit_of_zero_is_refused() -> None:
    codec = IdentityCodec((), SKELETON, Scale.fixed(SKELETON))
    arrays = codec.arrays() | {"unit": torch.zeros(67)}
    with pytest.raises(InputError, match="above zero"):
        load_codec(arrays, codec.description())
