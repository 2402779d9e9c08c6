"""A real Qdrant cluster on loopback, whose nodes can be killed, emptied and brought back.

What a node whose disk was erased needs, as seen with Qdrant 1.16.3: its old peer is removed from the consensus by force (it
counts as a holder of shards, and with its address taken the node cannot join: it ends after 10 seconds), then the empty node
starts with the same `--uri` and `--bootstrap` of a living node, as a new peer. Nothing copies shards to it by itself: an open
`QdrantChunkIndex` asks for that.
"""

import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import Server, free_port, qdrant_binary, wait_until

CONSENSUS_SECONDS = 60.0
"""A cluster agrees on who belongs to it in two seconds a node; the rest is for busy machines."""


@dataclass
class QdrantCluster:
    """Nodes on 127.0.0.1, 127.0.0.2 and so on, all with the same ports."""

    folder: Path
    nodes: list[Server]

    @property
    def url(self) -> str:
        """All nodes' addresses, as `index.url` takes them."""
        return ",".join(address(node) for node in self.nodes)

    @property
    def grpc_port(self) -> int:
        """The gRPC port of every node."""
        return self.nodes[0].ports["grpc"]

    def peer(self, node: Server) -> int:
        """The id of a running node in the consensus."""
        return int(ask(f"{address(node)}/cluster")["result"]["peer_id"])

    def erase(self, node: Server) -> None:
        """Kills a node and deletes its disk."""
        node.kill()
        shutil.rmtree(self._disk(node))

    def rejoin(self, node: Server, peer: int) -> None:
        """Brings an erased node back: removes the peer it was, then starts it empty beside a living one."""
        living = next(other for other in self.nodes if other.process)
        ask(f"{address(living)}/cluster/peer/{peer}?force=true", "DELETE")
        self.start_empty(node, living)

    def start_empty(self, node: Server, living: Server) -> None:
        """Starts an erased node, which the cluster has forgotten, with the address it had."""
        self._disk(node).mkdir()
        node.command = [*node.command[:3], "--bootstrap", p2p(living)]
        node.start()
        self.wait_for_peers()

    def wait_for_peers(self) -> None:
        """Returns when every running node knows all nodes."""
        running = [node for node in self.nodes if node.process]
        known = lambda: all(len(ask(f"{address(node)}/cluster")["result"]["peers"]) == len(self.nodes) for node in running)  # noqa: E731
        wait_until(known, CONSENSUS_SECONDS, lambda: "the nodes do not find each other")

    def _disk(self, node: Server) -> Path:
        return Path(node.environment["QDRANT__STORAGE__STORAGE_PATH"]).parent


@contextmanager
def qdrant_cluster(folder: Path, nodes: int = 3) -> Iterator[QdrantCluster]:
    """Qdrant nodes that form one cluster."""
    ports = {"http": free_port(), "grpc": free_port(), "p2p": free_port()}
    folder.mkdir(parents=True, exist_ok=True)
    cluster = QdrantCluster(folder, [_node(folder, number, ports) for number in range(nodes)])
    with ExitStack() as stack:
        for number, node in enumerate(cluster.nodes):
            if number:
                node.command = [*node.command, "--bootstrap", p2p(cluster.nodes[0])]
            stack.callback(node.stop)
            node.start()
        cluster.wait_for_peers()
        yield cluster


def address(node: Server) -> str:
    """A node's REST address."""
    return f"http://{node.environment['QDRANT__SERVICE__HOST']}:{node.ports['http']}"


def p2p(node: Server) -> str:
    """The address that other nodes use."""
    return f"http://{node.environment['QDRANT__SERVICE__HOST']}:{node.ports['p2p']}"


def ask(url: str, method: str = "GET", body: object = None, seconds: float = 30.0) -> Any:
    """One call of Qdrant's REST API."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        return json.load(answer)


def _node(folder: Path, number: int, ports: dict[str, int]) -> Server:
    host, disk = f"127.0.0.{number + 1}", folder / f"node{number}"
    disk.mkdir()
    environment = {
        "QDRANT__TELEMETRY_DISABLED": "true",
        "QDRANT__SERVICE__HOST": host,
        "QDRANT__SERVICE__HTTP_PORT": str(ports["http"]),
        "QDRANT__SERVICE__GRPC_PORT": str(ports["grpc"]),
        "QDRANT__STORAGE__STORAGE_PATH": str(disk / "storage"),
        "QDRANT__STORAGE__SNAPSHOTS_PATH": str(disk / "snapshots"),
        "QDRANT__CLUSTER__ENABLED": "true",
        "QDRANT__CLUSTER__P2P__PORT": str(ports["p2p"]),
    }
    command = [str(qdrant_binary()), "--uri", f"http://{host}:{ports['p2p']}"]
    ready = f"http://{host}:{ports['http']}/readyz"
    return Server(command, ports, ready, folder / f"node{number}.log", environment)
