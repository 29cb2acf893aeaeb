"""Any format goes through the command line, and a run that cannot know who is who says so."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import fedmotion
from client.site import SiteFile
from common.errors import InputError
from common.motion.population import PUBLIC, synthesise
from server.shell import run
from tests.common.motion.files import walk, write_humanml3d, write_npz

SMALL = """
rounds = 1
latent = 6
holdout = 0.0
sites = 1
options = { width = 4, replicas = 1, motions = 2 }
"""


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Public motions as arrays."""
    folder = tmp_path_factory.mktemp("public")
    for recording in synthesise(PUBLIC, 5, range(20), motions=4):
        np.save(folder / f"{recording.name}.npy", recording.samples)
    return folder


def simulate(tmp_path: Path, *arguments: object) -> int:
    (tmp_path / "small.toml").write_text(SMALL)
    given = ["simulate", str(tmp_path / "small.toml"), *map(str, arguments), "--out", str(tmp_path / "run")]
    return run(fedmotion.COMMANDS, given)


def test_humanml3d_protects_records_until_people_are_known(
    tmp_path: Path, public: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    motions = {f"00000{i}": walk(i) for i in range(4)}
    folder = write_humanml3d(tmp_path / "hml", motions | {f"M{name}": walk(9) for name in motions})
    assert simulate(tmp_path, "--data", folder, "--public", public) == 2
    error = capsys.readouterr().err
    assert "add people.csv with columns motion and person" in error and "--unit record" in error
    assert not (tmp_path / "run").exists()

    assert simulate(tmp_path, "--data", folder, "--public", public, "--unit", "record") == 0
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert told["privacy"]["unit"] == "record" and told["sites"][0]["declared_population"] == 4
    site = SiteFile.read(next((tmp_path / "run" / "sites").glob("*.toml")))
    assert len(site.users()) == 4, "the site's own file opens the same data"
    with pytest.raises(InputError, match=r"add people\.csv"):
        site.model_copy(update={"unit": "user"}).users()


def test_a_site_reads_with_the_options_that_the_run_was_given(tmp_path: Path, public: Path) -> None:
    for person in ("01", "02", "03"):
        (tmp_path / "amass" / person).mkdir(parents=True)
        write_npz(tmp_path / "amass" / person / "a_poses.npz", mocap_framerate=None)
    np.save(tmp_path / "amass" / "stray_1.npy", walk(0))
    arguments = ("--data-format", "amass", "--rate", 30)
    assert simulate(tmp_path, "--data", tmp_path / "amass", "--public", public, *arguments) == 0
    site = SiteFile.read(next((tmp_path / "run" / "sites").glob("*.toml")))
    assert (site.data.options.format, site.data.options.rate) == ("amass", 30.0)
    assert site.people() == ("01", "02", "03")
    with (tmp_path / "run" / "metrics.jsonl").open() as stream:
        assert len(list(csv.reader(stream))) == 1
