"""A Flower Grid in one process: messages go straight to the ClientApp, without Ray or a SuperLink.

It runs the unchanged ServerApp and ClientApp. Flower builds messages from the identity
of the running task, which its own processes set; here this module sets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

_SERVER_NODE = 1
_RUN_ID = 1

RunConfig = Mapping[str, str]


class InProcessGrid(Grid):
    """`sites` nodes, numbered from 2, each with its own Context; one answers at every pull."""

    def __init__(self, client: ClientApp, sites: int, run_config: RunConfig) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = _RUN_ID, _SERVER_NODE, 1
        self._client = client
        self._contexts = {
            _SERVER_NODE + 1 + site: _context(_SERVER_NODE + 1 + site, run_config, {"partition-id": site})
            for site in range(sites)
        }
        self._numbers = count(1)
        self._pushed: dict[str, Message] = {}

    def set_run(self, run: Run) -> None:
        raise RuntimeError("an in-process grid belongs to one run")

    @property
    def run(self) -> Run:
        return Run.create_empty(_RUN_ID)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        identifiers = []
        for message in messages:
            identifier = str(next(self._numbers))
            message.metadata.__dict__["_message_id"] = identifier
            self._pushed[identifier] = message
            identifiers.append(identifier)
        return identifiers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The answer to the oldest of these: one at a time, so that they need not be held together."""
        wanted = set(message_ids)
        oldest = next((identifier for identifier in self._pushed if identifier in wanted), None)
        return [] if oldest is None else [self._answer(self._pushed.pop(oldest))]

    def _answer(self, message: Message) -> Message:
        return self._client(message, self._contexts[message.metadata.dst_node_id])

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        return [self._answer(self._pushed.pop(identifier)) for identifier in self.push_messages(messages)]


def run_in_process(server: ServerApp, client: ClientApp, sites: int, run_config: RunConfig) -> None:
    """Run `server` against `sites` nodes that all answer with `client`."""
    server(InProcessGrid(client, sites, run_config), _context(_SERVER_NODE, run_config, {}))


def _context(node: int, run_config: RunConfig, node_config: Mapping[str, int]) -> Context:
    return Context(
        run_id=_RUN_ID,
        node_id=node,
        node_config=dict(node_config),
        state=RecordDict(),
        run_config=dict(run_config),
    )
