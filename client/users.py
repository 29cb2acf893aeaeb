"""The people of one site: their sequences, encoded by the public codec, drawn afresh each round.

Only `client.gate` may import this module; nothing here is computed across people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from client.datasets import DataSet
from client.exactness import unmoved
from client.position import position
from client.withdrawal import Tombstones
from common.event import Unit
from common.generator.codec import Codec
from common.generator.condition import Condition
from common.generator.embeddings import Embeddings, spoken
from common.generator.text import TextEncoder
from common.method import UserBatch, UserRandom
from common.motion.recording import Modality, Recording
from common.motion.windows import lengths, windows

_CHUNK = 64


@dataclass(frozen=True, kw_only=True)
class Share:
    """The people of a data set who belong to one site: an interval of `position`, or a column's value."""

    seed: int
    start: float
    stop: float
    column: str | None = None
    value: str | None = None

    def select(self, data: DataSet) -> tuple[str, ...]:
        """This share's people, in the data set's order."""
        people = [p for p in data.people() if self.start <= position(p, self.seed) < self.stop]
        if self.column is not None:
            values = data.column(self.column)
            people = [p for p in people if values[p] == self.value]
        return tuple(people)


class Users:
    """Units (people or records) with their windows, and latents once encoded.

    `names[u]` identifies unit u for its own randomness, `persons[u]` whose unit it is (by
    default the name); unit u owns the windows `starts[u]` to `starts[u + 1]`, and `captions[i]`
    are the sentences that describe window i.
    """

    def __init__(
        self,
        names: Sequence[str],
        starts: Sequence[int],
        raw: Tensor,
        labels: list[str | None],
        modality: Modality,
        persons: Sequence[str] | None = None,
        lengths: Sequence[int] | None = None,
        captions: Sequence[Sequence[str]] | None = None,
    ) -> None:
        self.names = tuple(names)
        self.persons = self.names if persons is None else tuple(persons)
        self.modality = modality
        self._withdrawn = Tombstones()
        self._absent: frozenset[int] = frozenset()
        self._starts = torch.tensor([*starts], dtype=torch.int64)
        self._raw = raw
        self._labels = labels
        full = [modality.window] * len(labels)
        self._lengths = torch.tensor(full if lengths is None else [*lengths], dtype=torch.int64)
        self._captions = [()] * len(labels) if captions is None else captions
        self._encoded: dict[str, tuple[Tensor, Condition, Embeddings]] = {}
        self._order = torch.arange(len(labels))
        self._members: Sequence[tuple[str, ...]] = [(person,) for person in self.persons]
        self._shards: Users | None = None

    @classmethod
    def gather(cls, recordings: Iterable[Recording], data: DataSet, unit: Unit) -> Users:
        """Group windows by unit: a person, or a record (one motion; for sensors one window)."""
        owned: dict[str, list[tuple[np.ndarray, Recording, int]]] = {}
        persons: dict[str, str] = {}
        for recording in recordings:
            cut = windows(recording.samples, data.modality)
            valid = lengths(len(recording.samples), data.modality)
            for number, (window, length) in enumerate(zip(cut, valid, strict=True)):
                name = recording.person
                if unit == "record":
                    part = str(number) if data.modality.kind == "sensor" else ""
                    record = recording.record or recording.name
                    name = "\0".join((recording.person, record, part))  # no two units share one
                owned.setdefault(name, []).append((window, recording, length))
                persons[name] = recording.person
        flat = [item for items in owned.values() for item in items]
        starts = np.cumsum([0, *(len(items) for items in owned.values())])
        raw = torch.from_numpy(np.stack([window for window, _, _ in flat])) if flat else torch.empty(0)
        return cls(
            tuple(owned),
            starts.tolist(),
            raw,
            [recording.label for _, recording, _ in flat],
            data.modality,
            [persons[name] for name in owned],
            [length for _, _, length in flat],
            [spoken(recording) for _, recording, _ in flat],
        )

    def __len__(self) -> int:
        return len(self.names)

    def exclude(self, withdrawn: Tombstones) -> None:
        """From now on no unit of a person in `withdrawn` is `present`; replaces what was said before."""
        if withdrawn != self._withdrawn:
            gone = {person for person in set(self.persons) if person in withdrawn}
            self._absent = frozenset(u for u, person in enumerate(self.persons) if person in gone)
            self._withdrawn = withdrawn
            self._shards = None

    def present(self, drawn: Sequence[int]) -> list[int]:
        """Those of the units `drawn` whose person has not withdrawn; nobody else's place or draw changes."""
        return [unit for unit in drawn if unit not in self._absent]

    def encode(self, codec: Codec, key: str, text: TextEncoder | None = None) -> None:
        """Encode every window, and every sentence once, for the plan named `key`; repeats are free.

        A latent depends on its own window alone, to the bit: chunks are of one label and
        one length, and a window that cannot be encoded becomes NaN, which makes its own
        unit contribute zero and nobody else's.
        """
        if key in self._encoded:
            return
        known = {label: index for index, label in enumerate(codec.labels)}
        labels = torch.tensor(
            [known.get(label or "", len(codec.labels)) for label in self._labels], dtype=torch.int64
        )
        latents = torch.full((len(labels), codec.latent), torch.nan)
        for label in torch.unique(labels).tolist():
            width = _width(codec, self._raw.shape[1:], label)
            for rows in torch.nonzero(labels == label)[:, 0].split(width):
                latents[rows] = _encode(codec, self._raw[rows], label, width)
        condition = Condition(labels, torch.zeros(len(labels), 0), codec.latent_lengths(self._lengths))
        self._encoded = {key: (latents, condition, Embeddings.of(self._captions, text))}
        self._shards = None

    def members(self, unit: int) -> tuple[str, ...]:
        """The persons whose windows are unit `unit`'s: one, or those of a shard."""
        return self._members[unit]

    def sharded(self, count: int, key: str) -> Users:
        """These people, encoded for the plan `key`, in `count` shards that are units themselves.

        A hash of plan and person deals them: one person's removal moves nobody else. Who has withdrawn
        is in none, and a window that cannot be encoded is left out.
        """
        if self._shards is None:
            windows: list[list[int]] = [[] for _ in range(count)]
            members: list[set[str]] = [set() for _ in range(count)]
            usable = torch.isfinite(self._encoded[key][0]).all(dim=1).tolist()
            for unit in self.present(range(len(self))):
                start, stop = self._starts[unit : unit + 2].tolist()
                shard = int(position(f"{key} {self.persons[unit]}", 0) * count)
                windows[shard] += [w for w in range(start, min(stop, len(usable))) if usable[w]]
                members[shard].add(self.persons[unit])
            starts = np.cumsum([0, *(len(own) for own in windows)]).tolist()
            names = [f"shard {number} of {count}" for number in range(count)]
            shards = Users(names, starts, self._raw, self._labels, self.modality)
            shards._order = torch.tensor([w for own in windows for w in own], dtype=torch.int64)
            shards._members = [tuple(sorted(own)) for own in members]
            shards._absent = frozenset(n for n, own in enumerate(windows) if not own)
            shards._encoded = self._encoded
            self._shards = shards
        return self._shards

    def batch(self, units: Sequence[int], motions: int, rng: UserRandom, key: str) -> UserBatch:
        """Up to `motions` windows of each unit, drawn without replacement from the unit's own randomness.

        One sentence of each is drawn likewise. Row u is the same whichever other units there are.
        """
        latents, condition, sentences = self._encoded[key]
        index = torch.tensor(units, dtype=torch.int64)
        start = self._starts[index]
        owned = self._starts[index + 1] - start
        width = max(int(owned.max()), motions)
        ranks = rng.uniform(width)
        ranks = torch.where(torch.arange(width) < owned[:, None], ranks, torch.inf)
        chosen = torch.argsort(ranks, dim=1, stable=True)[:, :motions]
        mask = torch.arange(motions) < owned[:, None]
        rows = self._order[torch.where(mask, start[:, None] + chosen, start[:, None])]
        shown = condition.at(rows)
        if sentences.size:
            shown = shown._replace(text=sentences.drawn(rows, rng.uniform(motions)))
        return UserBatch(latents=latents[rows], condition=shown, mask=mask)


def _width(codec: Codec, shape: torch.Size, label: int) -> int:
    """How many windows of `shape` are encoded at once: as many as keep each one's bits its own."""
    probes = torch.randn(_CHUNK, *shape, generator=torch.Generator().manual_seed(0))
    same = torch.full((_CHUNK,), label)
    return _CHUNK if unmoved(lambda places: codec.encode(probes[places], same), _CHUNK) else 1


def _encode(codec: Codec, raw: Tensor, label: int, width: int) -> Tensor:
    """Latents `[n, latent]` of `raw` `[n, ...]`, n from 1 to `width`; NaN where a window alone raises."""
    filled = torch.cat([raw, raw[:1].expand(width - len(raw), *raw.shape[1:])])
    try:
        return codec.encode(filled, torch.full((width,), label))[: len(raw)]
    except MemoryError:
        raise
    except Exception:
        if len(raw) == 1:
            return torch.full((1, codec.latent), torch.nan)
        return torch.cat([_encode(codec, window[None], label, width) for window in raw])


def load_users(data: DataSet, share: Share, unit: Unit) -> Users:
    """Read the people of `share` from `data`."""
    return Users.gather(data.recordings(share.select(data)), data, unit)
