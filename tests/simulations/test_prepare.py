"""A prepared folder is complete or starts over, and its plan is made from public facts alone."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from client.site import SiteFile
from common.accounting import epsilon
from common.errors import InputError
from common.generator.assets import Assets
from common.generator.codec import Codec
from common.generator.motion_codec import fit_motion_codec
from common.generator.text_encoders import make_text
from common.methods import NAMES
from common.motion.recording import Recording
from server.checkpoint import Checkpoint
from simulations import prepare as prepare_module
from simulations.config import Simulation
from simulations.corpus import Corpus, corpus
from simulations.prepare import declared_units, make_plan, open_people, prepare
from simulations.public_corpus import public_corpus
from simulations.toml import to_toml


def small(**settings: object) -> Simulation:
    options = {"width": 4, "replicas": 1, "motions": 1}
    defaults = {"people": 30, "motions": 1, "sites": 2, "rounds": 3, "public_people": 100, "latent": 4}
    return Simulation.model_validate({**defaults, "options": options, **settings})


@pytest.fixture(scope="module")
def public() -> Corpus | None:
    return public_corpus(small(), open_people(small()))


def test_a_prepared_folder_can_start(public: Corpus, tmp_path: Path) -> None:
    config = small(epsilon=2.0)
    plan = prepare(config, open_people(config), public, tmp_path)
    assert plan.rounds == 3 and epsilon([plan.reserved()], plan.delta) <= 2.0
    assert Checkpoint.load(tmp_path).state.round == 0
    sites = [SiteFile.read(path) for path in sorted((tmp_path / "sites").glob("*.toml"))]
    assert [site.declared_population for site in sites] == [12, 12]
    assert all(site.ledger.is_file() and site.test_seed is None for site in sites)
    names = {path.name for path in (tmp_path / "ledgers").iterdir()}
    assert names == {f"site-0{n}.sqlite{suffix}" for n in (1, 2) for suffix in ("", ".key")}
    for site in sites:
        site.rules().admit(plan, site.declared_population)
    assert prepare(config, open_people(config), public, tmp_path) == plan, "a second call changes nothing"


@pytest.mark.parametrize("trust", ["local", "central"])
def test_a_person_at_several_sites_has_the_noise_of_all_of_them(
    public: Corpus, tmp_path: Path, trust: str
) -> None:
    noises = []
    for k in (1, 2):
        config = small(epsilon=2.0, trust=trust, sites_per_person=k)
        (folder := tmp_path / str(k)).mkdir()
        plan = prepare(config, open_people(config), public, folder)
        assert plan.sites_per_person == k and 1.9 < epsilon([plan.reserved()], plan.delta) <= 2.0
        noises.append(plan.noise_multiplier)
    assert noises[1] > 1.2 * noises[0]


@pytest.mark.parametrize("method", NAMES)
def test_options_that_no_data_can_mend_are_named_before_there_are_any(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "open_data_set", lambda *_: pytest.fail("data were read"))
    option, limits = next(
        (item.name, item.metadata)
        for item in fields(NAMES[method])  # type: ignore[arg-type]
        if "high" in item.metadata and item.name != "total_rounds"
    )
    wrong = {f"{option}s": f"did you mean {option}", option: f"{option!r} of method {method!r} must be"}
    for name, said in wrong.items():
        with pytest.raises(InputError, match=said):
            open_people(small(method=method, options={name: 2 * limits["high"] + 1}))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"method": "gswgan"}, "'gswgan' is unknown: did you mean gs_wgan"),
        ({"method": "moments", "steps_per_round": 2}, "moments has no gradient steps .* dp_sgd"),
        ({"method": "gs_wgan", "loss_curve": True}, "loss_curve is true, and method gs_wgan has"),
        ({"method": "psg", "shard_size": 4, "sampling_rate": 1.0}, "psg knows no shards: .* gs_wgan"),
    ],
)
def test_what_a_method_cannot_do_is_said_before_there_are_data(
    asked: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "open_data_set", lambda *_: pytest.fail("data were read"))
    with pytest.raises(InputError, match=said):
        open_people(small(options={}, **asked))


def test_a_person_cannot_be_at_more_sites_than_there_are(public: Corpus, tmp_path: Path) -> None:
    config = small(sites_per_person=3)
    with pytest.raises(InputError, match="sites_per_person is 3, and there are 2 sites"):
        prepare(config, open_people(config), public, tmp_path)


def test_what_a_crash_left_half_made_is_made_again(public: Corpus, tmp_path: Path) -> None:
    config = small()
    (tmp_path / "ledgers").mkdir()
    (tmp_path / "ledgers" / ".site-01.sqlite.new").write_bytes(b"half")
    (tmp_path / "ledgers" / ".site-01.sqlite.new-wal").write_bytes(b"half")
    prepare(config, open_people(config), public, tmp_path)
    assert len(list((tmp_path / "ledgers").iterdir())) == 4
    SiteFile.read(tmp_path / "sites" / "site-01.toml").open_gate().close()


def test_delta_is_public_and_below_one_over_the_units(public: Corpus) -> None:
    assets = Assets(_codec(public))
    assert make_plan(small(), assets, 24).delta == 1e-5
    assert make_plan(small(), assets, 1_000_000).delta == pytest.approx(1e-7)
    with pytest.raises(InputError, match="1/24"):
        make_plan(small(delta=0.05), assets, 24)


def test_runs_have_names_of_their_own_but_in_test_mode(public: Corpus) -> None:
    assets = Assets(_codec(public))
    one, two = (make_plan(small(epsilon=float("inf")), assets, 24) for _ in range(2))
    assert one.run_id != two.run_id and one.noise_multiplier == 0.0
    seeded = [make_plan(small(test_mode=True, seed=seed), assets, 24).run_id for seed in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2]


def test_units_are_declared_not_counted_where_they_are_given(tmp_path: Path) -> None:
    config = small(people=50)
    assert declared_units(config, open_people(config)) == 40
    declared = config.model_copy(update={"data": tmp_path, "people": 1000})
    assert declared_units(declared, open_people(config)) == 800


def test_toml_is_read_back_as_it_was_written() -> None:
    values = {
        "text": 'quotes " and \\ and\nlines\t\x7f é 😀',
        "number": 1e-5,
        "infinite": float("inf"),
        "yes": True,
        "list": ["a", 'b"'],
        "tables": [{"name": "a", "share": 2.0}, {"name": "b"}],
        "table": {"inner": 3, "deeper": {"x": 0.5}},
    }
    assert tomllib.loads(to_toml(values)) == values


def test_the_public_corpus_carries_the_sentences_of_its_motions() -> None:
    """A recording without captions is told by its label's public sentence; public training sees them."""
    config = small(text_encoder="template", text_size=8)
    data = open_people(config)
    found = public_corpus(config, data)
    assert found is not None and found.text is not None
    rows = torch.arange(10)
    condition = found.condition(rows, 1, torch.Generator().manual_seed(0))
    text = make_text("template", 8, data.labels)
    assert text is not None
    assert condition.text.shape == (10, 8) and float(condition.text.norm(dim=1).min()) > 0.99
    said = [Recording(person="", name="", label="walk", samples=np.zeros((61, 22, 3), np.float32),
                      captions=captions) for captions in (("a person runs", "kicks"), ())]  # fmt: skip
    own = corpus(iter(said), data.modality, data.labels, text).text
    assert own is not None
    assert torch.equal(own.table, text.encode(["a person runs", "kicks", "a person walks"]))
    assert public_corpus(small(), data).condition(rows, 1, torch.Generator()).text.shape == (10, 0)  # type: ignore[union-attr]


def test_a_plan_with_text_names_its_encoder(public: Corpus, tmp_path: Path) -> None:
    config = small(text_encoder="template", text_size=8)
    plan = prepare(config, open_people(config), public, tmp_path)
    assert plan.text["kind"] == "template"
    kept = Checkpoint.load(tmp_path).loaded_assets().text
    assert kept is not None and kept.size == 8
    assert prepare(small(), open_people(small()), public, _new(tmp_path / "none")).text == {}


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _codec(public: Corpus) -> Codec:
    return fit_motion_codec(public.windows, public.labels, open_people(small()).labels, 4)
