"""CONFIG.toml: every key is in docs/server.md, wrong ones are named, and paths lie beside the file."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from common.accounting import LARGEST_EPSILON
from common.errors import InputError
from common.generator.trainable import CHOICES
from server.server_file import RunTable, ServerFile
from tests.guide_keys import check_defaults, documented, keys

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "server.md"
PLAIN = 'address = "motion.example.org:9443"\n'
RUN = '[run]\nstart = "public"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "CONFIG.toml"
    path.write_text(text)
    return path


def test_the_guide_lists_exactly_the_keys_there_are() -> None:
    assert list(documented(GUIDE)) == list(keys(ServerFile))


def test_the_guide_has_the_defaults_there_are() -> None:
    check_defaults(GUIDE, ServerFile)


def test_the_guides_example_is_a_server(tmp_path: Path) -> None:
    example = "\n".join(line[4:] for line in GUIDE.read_text().splitlines() if line.startswith("    "))
    found = ServerFile.read(written(tmp_path, example))
    assert (found.host, found.front.kind, found.front.port) == ("motion.example.org", "builtin", 9443)
    assert (found.run.train, found.run.trust, found.run.min_sites) == ("bias_norm", "secagg", 3)


def test_relative_paths_lie_beside_the_file(tmp_path: Path) -> None:
    found = ServerFile.read(written(tmp_path, PLAIN + RUN))
    assert (found.folder, found.run.start) == (tmp_path / "state", tmp_path / "public")
    assert found.certificate == tmp_path / "state" / "keys" / "front.crt"
    own = '[front]\ncertificate = "own.crt"\nkey = "/etc/own.key"\nauthority = "root.crt"\n'
    found = ServerFile.read(written(tmp_path, PLAIN + RUN + own))
    assert (found.certificate, found.key) == (tmp_path / "own.crt", Path("/etc/own.key"))
    assert found.front.authority == tmp_path / "root.crt"


def test_the_limits_written_here_are_those_of_the_code_they_come_from() -> None:
    fields = RunTable.model_fields
    choices = {choice for kind in get_args(fields["train"].annotation) for choice in get_args(kind)}
    assert choices == set(CHOICES)
    assert [item.le for item in fields["epsilon"].metadata if hasattr(item, "le")] == [LARGEST_EPSILON]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PLAIN, "run is missing"),
        (RUN, "address is missing"),
        ("adress = 1\n" + PLAIN + RUN, "unknown key adress: did you mean address?"),
        (PLAIN + RUN + "epsilonn = 1\n", "unknown key run.epsilonn: did you mean epsilon?"),
        (PLAIN + RUN + "[port]\n", "unknown key port: did you mean ports?"),
        (PLAIN + RUN + "epsilon = nan\n", "run.epsilon = nan"),
        (PLAIN + RUN + "epsilon = inf\n", "run.epsilon = inf: it must be less than or equal to 100"),
        (PLAIN + RUN + "trust = 'central'\n", "run.trust = 'central': it must be 'local' or 'secagg'"),
        (PLAIN + RUN + "train = 'half'\n", "run.train = 'half'"),
        (PLAIN + RUN + "rank = 4\n", 'run.rank is of train = "lora"'),
        (PLAIN + RUN + "rounds = 0\n", "run.rounds = 0"),
        (PLAIN + RUN + "deadline = 1\n", "run.deadline = 1: it must be greater than or equal to 10"),
        (PLAIN + RUN + "steps_per_round = 2\n", "run.steps_per_round above 1 needs trust"),
        (PLAIN + RUN + "options = { total_rounds = 3 }\n", "set run.rounds instead"),
        (PLAIN.replace(":9443", "") + RUN, "address = 'motion.example.org': it must be host:port"),
        (PLAIN.replace("motion", "https://motion") + RUN, "it must be host:port"),
        (PLAIN.replace("9443", "94430") + RUN, "it must be host:port"),
        (PLAIN + RUN + "[front]\nkind = 'apache'\n", "front.kind = 'apache'"),
        (PLAIN + RUN + "[front]\nkind = 'external'\n", "needs ports.superlink"),
        (PLAIN + RUN + "[front]\ncertificate = 'a'\n", "belong together: give all three, or none"),
        (PLAIN + RUN + "[ports]\nsuperlink = 9443\n", "front.port and ports.superlink are both 9443"),
        (PLAIN + "run = 3\n", "run = 3"),
        ("x = [", "is not valid TOML"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_that_says_what_to_do(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        ServerFile.read(written(tmp_path, text))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert "{" not in str(caught.value)  # a table's problem is said without the whole table
