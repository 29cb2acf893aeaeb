"""The messenger's way to the gate: light, patient for a moment, and one code where nobody answers."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from flwr.app import ConfigRecord, RecordDict

from client.remote import RemoteSite, standing_of
from common.errors import Refusal, RefusalCode
from common.parcel import CHANNEL, raise_refused, to_parcel
from common.wire import encode_plan
from protos import gate_pb2, gate_pb2_grpc
from tests.started import StartedSite

ROOT = Path(__file__).resolve().parents[2]
MESSENGER = """
import json, sys
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
import client.app
TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 2, 1
content = RecordDict({"message": ConfigRecord({"kind": "Advertise", "body": b"anything"})})
context = Context(run_id=1, node_id=2, node_config={"site": "north", "socket": sys.argv[1]},
                  state=RecordDict(), run_config={})
reply = client.app.app(Message(content, 2, "query.plan", ttl=float(sys.argv[2])), context)
header = reply.content.config_records["message"]
print(json.dumps({"kind": header["kind"], "body": header["body"].hex(), "modules": sorted(sys.modules)}))
"""
HEAVY = ("torch", "scipy", "dp_accounting", "opacus", "client.gate", "client.datasets",
         "client.users", "client.ledger", "client.site", "client.door", "client.membership")  # fmt: skip

HEADER = ConfigRecord({"kind": "Advertise", "body": b"anything"})


class Echo(gate_pb2_grpc.GateServicer):
    """Whatever it is sent comes back; after `failures` calls that end in an error."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.asked = 0

    def Answer(  # noqa: N802
        self, request: gate_pb2.Parcel, context: grpc.ServicerContext
    ) -> gate_pb2.Parcel:
        self.asked += 1
        if self.asked <= self.failures:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Ann's recordings are being read")
        return request

    def Status(  # noqa: N802
        self, request: gate_pb2.StatusRequest, context: grpc.ServicerContext
    ) -> gate_pb2.StatusReply:
        return gate_pb2.StatusReply(json="no JSON")


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[tuple[Path, Echo]]:
    servicer, path = Echo(), tmp_path / "gate.sock"
    server = grpc.server(ThreadPoolExecutor(2), options=CHANNEL)
    gate_pb2_grpc.add_GateServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix:{path}")
    server.start()
    yield path, servicer
    server.stop(None).wait()


def messenger(socket: Path, ttl: float) -> dict[str, object]:
    """The ClientApp in a process of its own, carrying one message to `socket`."""
    done = subprocess.run(
        [sys.executable, "-c", MESSENGER, str(socket), str(ttl)],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def message(tmp_path: Path) -> RecordDict:
    site = StartedSite.make(tmp_path / "made")
    return site.asked(encode_plan(site.plan(), {}))[0]


def test_the_messenger_imports_neither_torch_nor_what_reads_data(echo: tuple[Path, Echo]) -> None:
    found = messenger(echo[0], 60.0)
    assert (found["kind"], found["body"]) == ("Advertise", b"anything".hex())
    modules = found["modules"]
    assert isinstance(modules, list)
    assert [name for name in modules if name.startswith(HEAVY)] == []
    assert echo[1].asked == 1


def test_a_message_goes_through_untouched_and_so_does_the_answer(
    echo: tuple[Path, Echo], tmp_path: Path
) -> None:
    (tmp_path / "made").mkdir()
    sent = message(tmp_path)
    reply = RemoteSite(echo[0], 30.0).answer(sent)
    assert to_parcel(reply) == to_parcel(sent)


def test_without_a_gate_the_messenger_says_one_code_and_no_word(tmp_path: Path) -> None:
    found = messenger(tmp_path / "gone.sock", 2.0)
    assert found["kind"] == "Refused"
    refused = gate_pb2.Refused.FromString(bytes.fromhex(str(found["body"])))
    assert refused == gate_pb2.Refused(code="UNAVAILABLE")
    assert standing_of(tmp_path / "gone.sock", 1.0) is None


def test_a_gate_that_was_away_for_a_moment_is_asked_again(echo: tuple[Path, Echo]) -> None:
    path, servicer = echo
    servicer.failures = 2
    content = RecordDict({"header": HEADER})
    assert RemoteSite(path, 30.0, away=20.0).answer(content)["header"] == HEADER
    assert servicer.asked == 3


def test_what_a_gate_says_about_a_failure_stays_behind(echo: tuple[Path, Echo]) -> None:
    path, servicer = echo
    servicer.failures = 100
    with pytest.raises(Refusal) as refused:
        RemoteSite(path, 30.0, away=0.0).answer(RecordDict({"header": HEADER}))
    assert refused.value.code == RefusalCode.UNAVAILABLE
    assert "Ann" not in str(refused.value)
    assert standing_of(path) is None  # what it says of itself is no JSON


def test_what_is_no_message_is_not_carried(echo: tuple[Path, Echo]) -> None:
    with pytest.raises(Refusal) as refused:
        raise_refused(RemoteSite(echo[0], 30.0).answer(RecordDict()))
    assert refused.value.code == RefusalCode.MALFORMED
    assert echo[1].asked == 0


def test_a_sites_words_are_not_passed_on_to_other_loggers(capfd: pytest.CaptureFixture[str]) -> None:
    """Flower's own logger, and in a simulation the server's, hang at the root."""
    import client.app

    assert client.app.__name__
    said: list[logging.LogRecord] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record)

    listening = Listening()
    logging.getLogger().addHandler(listening)
    try:
        logging.getLogger("fedmotion.client").warning("Ann")
    finally:
        logging.getLogger().removeHandler(listening)
    assert said == []
    assert capfd.readouterr() == ("", "")
