"""Settings: a file or a preset, flags over it, nothing unknown, and paths that hold from everywhere."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from common.errors import InputError
from simulations.config import Simulation, read_again, read_config
from simulations.preset import presets


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("epsilon = 4\nrounds = 30\n")
    config = read_config(str(path), {"epsilon": 2.0, "seed": 3})
    assert (config.epsilon, config.rounds, config.seed, config.holdout) == (2.0, 30, 3, 0.2)
    assert config.model_fields_set == {"epsilon", "rounds", "seed"}


def test_every_preset_is_valid() -> None:
    assert "demo" in presets()
    for name in presets():
        assert read_config(name, {}).rounds >= 1


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("file,person\n")
    path = tmp_path / "c.toml"
    path.write_text('data = "motions"\nmanifest = "rows.csv"\n')
    config = read_config(str(path), {})
    assert config.data == (tmp_path / "motions").resolve()
    assert config.manifest == str((tmp_path / "rows.csv").resolve())


def test_a_manifest_seen_from_here_gets_its_full_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other processes of the run may work in another folder."""
    (tmp_path / "rows.csv").write_text("file,person\n")
    monkeypatch.chdir(tmp_path)
    config = read_config(None, {"data": Path("motions"), "manifest": "rows.csv"})
    assert config.manifest == str((tmp_path / "rows.csv").resolve())
    assert config.data == (tmp_path / "motions").resolve()
    assert read_config(None, {"data": Path("m"), "manifest": "inside.csv"}).manifest == "inside.csv"


def test_settings_survive_their_way_through_json(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        'data = "m"\nepsilon = 4.0\nlabels = ["walk", "run"]\noptions = { width = 8, ema = 0.5 }\n'
        'site_column = "ward"\n[[site]]\nname = "north"\nvalue = "N"\nbudget = 2.0\n'
    )
    config = read_config(str(path), {})
    assert Simulation.model_validate(json.loads(config.model_dump_json())) == config
    assert config.site[0].value == "N" and config.site[0].budget == 2.0


def test_a_run_is_resumed_with_every_key_as_it_was(tmp_path: Path) -> None:
    """Tables and paths included; a key by itself need not make sense without the rest."""
    (tmp_path / "rows.csv").write_text("file,person\n")
    path = tmp_path / "c.toml"
    path.write_text(
        'data = "m"\nmanifest = "rows.csv"\nlabels = ["b", "a"]\nsite_column = "ward"\n'
        'options = { width = 8 }\n[[site]]\nname = "north"\nvalue = "N"\n'
    )
    stored = read_config(str(path), {"epsilon": 2.0})
    read_again(
        stored, str(path), {"epsilon": 2.0, "site_column": "ward", "manifest": str(tmp_path / "rows.csv")}
    )
    with pytest.raises(InputError, match="--sites 3 is none of the run's settings"):
        read_again(stored, None, {"sites": 3})
    path.write_text(path.read_text().replace("north", "south"))
    with pytest.raises(InputError, match=r"site .*differs from the run's"):
        read_again(stored, str(path), {})


def test_an_unknown_key_that_is_near_to_none_is_pointed_to_the_list() -> None:
    with pytest.raises(InputError, match=r"unknown key zzz: remove it, or see docs/configuration.md"):
        read_config(None, {"zzz": 3})


def test_infinity_is_a_value_and_a_meaningless_epsilon_is_not() -> None:
    assert math.isinf(read_config(None, {"epsilon": math.inf}).epsilon)
    with pytest.raises(InputError, match="at most 100, or inf"):
        read_config(None, {"epsilon": 101.0})


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"sites": 2, "site_column": "ward"}, "sites, \\[\\[site\\]\\] and site_column"),
        ({"steps_per_round": 2, "trust": "central"}, "trust = local"),
        ({"data": "somewhere", "heterogeneity": 1.0}, "of procedural people"),
        ({"data": "somewhere", "actions": "all"}, "of procedural people"),
        ({"heterogeneity": 11.0}, "heterogeneity is 11"),
        ({"epsilon": 0.0, "rounds": 0}, "rounds.*epsilon"),
        ({"sites_per_person": 0}, "--sites-per-person is 0"),
        ({"sites_per_person": 21}, "--sites-per-person is 21"),
        ({"sites_per_persn": 2}, "unknown key sites_per_persn: did you mean sites_per_person?"),
    ],
)  # fmt: skip
def test_contradictions_are_named_without_the_whole_configuration(
    flags: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_config(None, flags)
    assert "{" not in str(caught.value)
