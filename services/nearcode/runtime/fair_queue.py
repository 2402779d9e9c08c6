"""Who waits, and who is next: the more critical first, and among equals the clients take turns."""

from collections import deque
from collections.abc import Collection
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items by rank (0 is served first) and client. Within a rank each client gets one turn a round, however many items it has
    (round robin, Nagle, RFC 970), so that a noisy client waits for itself."""

    def __init__(self) -> None:
        self._ranks: dict[int, dict[str, deque[T]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, item: T, client: str, rank: int) -> None:
        """Adds an item behind the client's others; a client without any joins at the end of the round."""
        self._ranks.setdefault(rank, {}).setdefault(client, deque()).append(item)
        self._size += 1

    def pop(self, ranks: Collection[int]) -> T | None:
        """The next item of the first of `ranks` that has one; its client goes to the end of the round."""
        for rank in sorted(ranks):
            clients = self._ranks.get(rank)
            if clients:
                client = next(iter(clients))
                items = clients.pop(client)
                item = items.popleft()
                if items:
                    clients[client] = items
                self._size -= 1
                return item
        return None

    def remove(self, item: T, client: str, rank: int) -> bool:
        """Takes out an item that waits no longer; False when it had left already."""
        clients = self._ranks.get(rank, {})
        items = clients.get(client)
        if not items or item not in items:
            return False
        items.remove(item)
        if not items:
            del clients[client]
        self._size -= 1
        return True

    def ahead(self, client: str, rank: int) -> int:
        """How many items leave before one that this client would add now, if nobody else adds one."""
        higher = sum(len(items) for one, clients in self._ranks.items() if one < rank for items in clients.values())
        clients = self._ranks.get(rank, {})
        own = len(clients.get(client, ()))
        return higher + own + sum(min(len(items), own + 1) for other, items in clients.items() if other != client)

    def of(self, client: str) -> int:
        """How many items of this client wait."""
        return sum(len(clients.get(client, ())) for clients in self._ranks.values())

    def clients(self) -> int:
        """How many clients wait."""
        return len({client for clients in self._ranks.values() for client in clients})
