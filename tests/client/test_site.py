"""SITE.toml: every key is in docs/site.md, wrong ones are named, and the file makes the rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.site import SiteFile
from common.errors import InputError
from tests.guide_keys import check_defaults, documented, keys

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "site.md"
PLAIN = """name = "north"
ledger = "north.sqlite"
unit = "user"
methods = ["dp_sgd"]
declared_population = 1200
"""
BUDGET = "[budget]\nepsilon = 8.0\ndelta = 1e-5\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "SITE.toml"
    path.write_text(text)
    return path


def test_the_guide_lists_exactly_the_keys_there_are() -> None:
    assert set(documented(GUIDE)) == set(keys(SiteFile))


def test_the_guide_has_the_defaults_there_are() -> None:
    check_defaults(GUIDE, SiteFile)


def test_the_guides_example_is_a_site(tmp_path: Path) -> None:
    example = "\n".join(line[4:] for line in GUIDE.read_text().splitlines() if line.startswith("    "))
    rules = SiteFile.read(written(tmp_path, example)).rules()
    assert (rules.unit, rules.trust, rules.methods) == ("user", ("local",), ("dp_sgd",))
    assert (rules.min_noise_multiplier, rules.max_rounds, rules.min_cohort) == (0.5, 1000, 50)
    assert (rules.max_sampling_rate, rules.max_motions, rules.min_sites_per_person) == (1.0, None, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PLAIN + "metods = 1\n" + BUDGET, "unknown key metods: did you mean methods?"),
        (PLAIN + BUDGET + "epsilonn = 1\n", "unknown key budget.epsilonn: did you mean epsilon?"),
        (
            PLAIN + BUDGET + "[policy]\nmin_noise = 1\n",
            "policy.min_noise: did you mean min_noise_multiplier?",
        ),
        (PLAIN + BUDGET + "[policy]\nmax_round = 1\n", "policy.max_round: did you mean max_rounds?"),
        (PLAIN + BUDGET + "[polcy]\nmax_rounds = 1\n", "unknown key polcy: did you mean policy?"),
        (
            PLAIN + BUDGET + "[policy]\nzzz = 1\n",
            "policy.zzz: remove it, or choose from min_noise_multiplier",
        ),
        (PLAIN + BUDGET + "[data.options]\nlabel = 1\n", "did you mean labels?"),
        (PLAIN + BUDGET + "[policy]\nmax_sampling_rate = 1.5\n", "policy.max_sampling_rate = 1.5"),
        (PLAIN + BUDGET + "[policy]\nmin_noise_multiplier = nan\n", "policy.min_noise_multiplier = nan"),
        (PLAIN + BUDGET + "[policy]\nmin_cohort = nan\n", "policy.min_cohort = nan"),
        (PLAIN + BUDGET + "[policy]\nmax_motions = 0\n", "policy.max_motions = 0"),
        (PLAIN, "budget is missing"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_that_says_what_to_do(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        SiteFile.read(written(tmp_path, text))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_ledger_keeps_the_budget_that_it_was_made_with(tmp_path: Path) -> None:
    SiteFile.read(written(tmp_path, PLAIN + BUDGET)).create_ledger()
    larger = SiteFile.read(written(tmp_path, PLAIN + BUDGET.replace("8.0", "80.0")))
    with pytest.raises(InputError, match=r"made with epsilon 8 .* says 80 .* keeps its budget"):
        larger.open_gate()
    SiteFile.read(written(tmp_path, PLAIN + BUDGET)).open_gate().close()


def test_data_lie_beside_the_file_wherever_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from another folder, in which the same names lead elsewhere."""
    site, here = tmp_path / "site", tmp_path / "here"
    for folder in (site, here):
        folder.mkdir()
        (folder / "people.csv").touch()
    monkeypatch.chdir(here)
    text = PLAIN + BUDGET + '[data]\npath = "recordings"\n'
    options = '[data.options]\nmanifest = "people.csv"\njoints = "inside.toml"\n'
    data = SiteFile.read(written(site, text + options)).data
    assert data.path == site / "recordings"
    assert data.options.manifest == str(site / "people.csv")
    assert data.options.joints == "inside.toml", "it is looked for inside the data"
    assert SiteFile.read(written(site, PLAIN + BUDGET)).data.path is None
