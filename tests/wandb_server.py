"""A server at loopback that takes what the W&B client 0.31 sends, and keeps it: runs, histories, files, artifacts.

It answers the client's GraphQL operations with what they need to go on, takes the file stream and every upload. What it
cannot show: what W&B's own pages make of a run, quotas, and which run used which one's artifact (it knows of none when
asked by name).
"""

import contextlib
import gzip
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789" * 4  # of the form of a W&B key; accepted by this server alone


class Arrived(ThreadingHTTPServer):
    """What came: per run its settings, history rows and summary; uploaded files; artifacts with their files."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.runs: dict[str, dict[str, Any]] = defaultdict(lambda: {"history": {}, "summary": {}})
        self.files: dict[str, bytes] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.operations: list[str] = []

    def rows(self, run: str) -> list[dict[str, Any]]:
        """A run's history, in order."""
        return [json.loads(row) for _, row in sorted(self.runs[run]["history"].items())]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that closes its connection is none."""


class Handler(BaseHTTPRequestHandler):
    """One request of the client."""

    protocol_version = "HTTP/1.1"
    server: Arrived

    def do_POST(self) -> None:
        """GraphQL, the file stream, and the client's figures on itself, which are dropped."""
        body = self.body()
        if self.path == "/graphql":
            asked = json.loads(body)
            name = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            assert name is not None
            self.server.operations.append(name[1])
            self.answer({"data": self.operation(name[1], asked.get("variables") or {})})
        elif stream := re.fullmatch(r"/files/[^/]*/[^/]*/([^/]*)/file_stream", self.path):
            self.keep_stream(self.server.runs[stream[1]], json.loads(body))
            self.answer({})
        else:
            self.answer({})

    def do_PUT(self) -> None:
        """An upload."""
        self.server.files[self.path.removeprefix("/storage/")] = self.body()
        self.answer({})

    def body(self) -> bytes:
        """The request's body, unchunked and unpacked."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def answer(self, value: object) -> None:
        """A JSON answer."""
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def keep_stream(self, run: dict[str, Any], sent: dict[str, Any]) -> None:
        """History lines by their offset; the summary as last told; whether the run is complete."""
        for name, part in sent.get("files", {}).items():
            if name == "wandb-history.jsonl":
                run["history"].update(enumerate(part["content"], part["offset"]))
            elif name == "wandb-summary.json":
                run["summary"] = json.loads(part["content"][-1])
        if sent.get("complete"):
            run["exit_code"] = sent.get("exitcode")

    def operation(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """What an operation needs to go on."""
        answers = {
            "Viewer": lambda: {"viewer": {"id": "u", "entity": "me", "username": "me", "email": "me@example.org",
                                          "flags": "{}", "teams": {"edges": []}}},
            "ServerFeaturesQuery": lambda: {"serverInfo": {"features": []}},
            "UpsertBucket": lambda: self.upsert(given),
            "CreateRunFiles": lambda: {"createRunFiles": {
                "runID": "r", "uploadHeaders": [],
                "files": [{"name": n, "uploadUrl": self.place(given["run"], n)} for n in given["files"]]}},
            "ArtifactType": lambda: {"project": {"artifact": None}},
            "ArtifactMembershipByName": lambda: {"project": {"artifactCollectionMembership": None}},
            "CreateArtifact": lambda: self.create_artifact(given["input"]),
            "CreateArtifactManifest": lambda: {"createArtifactManifest": {"artifactManifest": {
                "id": f"manifest of {given['artifactID']}",
                "file": {"id": "f", "uploadUrl": self.place(given["artifactID"], given["name"]),
                         "uploadHeaders": []}}}},
            "CreateArtifactFiles": lambda: {"createArtifactFiles": {"files": {"edges": [
                {"node": {"storagePath": f["name"], "uploadUrl": self.place(f["artifactID"], f["name"]),
                          "uploadHeaders": [], "uploadMultipartUrls": None, "artifact": {"id": f["artifactID"]}}}
                for f in given["input"]["artifactFiles"]]}}},
            "CommitArtifact": lambda: {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": "d"}}},
        }  # fmt: skip
        return answers.get(name, dict)()

    def place(self, owner: str, name: str) -> str:
        """Where a file is uploaded to."""
        return f"{self.server.url}/storage/{owner}/{name}"

    def upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        """A run begins or tells more of itself."""
        run = self.server.runs[given["name"]]
        run |= {key: value for key, value in given.items() if value is not None}
        entity = {"id": "e", "name": "me"}
        bucket = {"id": "r", "name": given["name"], "displayName": run.get("displayName"), "description": None,
                  "config": "{}", "sweepName": None, "historyLineCount": 0,
                  "project": {"id": "p", "name": run["project"], "entity": entity}}  # fmt: skip
        return {"upsertBucket": {"inserted": True, "bucket": bucket}}

    def create_artifact(self, given: dict[str, Any]) -> dict[str, Any]:
        """An artifact is announced."""
        name = given["artifactCollectionName"]
        self.server.artifacts[name] = {"type": given["artifactTypeName"]}
        made = {"id": name, "state": "PENDING", "artifactSequence": {"id": "s", "latestArtifact": None}}
        return {"createArtifact": {"artifact": made}}

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""


@contextlib.contextmanager
def wandb_server() -> Iterator[Arrived]:
    """A running server; `environment(server)` sends the client there."""
    server = Arrived()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def environment(server: Arrived) -> dict[str, str]:
    """Variables with which the client of another process sends to this server."""
    return {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "WANDB_MODE": "online"}
