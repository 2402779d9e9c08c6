"""What `helm test` does: waits until a sample repository is indexed, then searches, completes and asks, and prints what it saw.

    answers.py https://HOST/shop --seconds 300

The settings tell where the engine is, as for the command `nearcode`. Ends with 1 when an answer is not what it must be.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator

from nearcode import engine, settings
from nearcode.domain.assistant import Part, Report, Sources
from nearcode.domain.completion import Message
from nearcode.domain.errors import NearcodeError
from nearcode.domain.repository import Workspace
from nearcode.domain.retrieval import CodeCursor

QUERY, FOUND = "place an order and return what the customer pays", "shop/orders.py"
PATH = "shop/checkout.py"
PREFIX = '''"""The till."""

from shop.orders import place_order


def buy(stock, article, net):
    return '''
QUESTION = "Which function reserves pieces for a customer?"
SECONDS = 60.0
"""For one answer: the first one may wait for a model to load."""


async def check(client: engine.EngineClient, url: str, seconds: float) -> None:
    """Asks everything once. Raises AssertionError with what is wrong."""
    workspace = Workspace((url,))
    began = time.monotonic()
    print(f"indexed: {await indexed(client, url, began + seconds)} after {time.monotonic() - began:.0f} s", flush=True)
    found = await client.assistant.search(client.user, [workspace], QUERY, 3, 0.0, SECONDS)
    for snippet in found.snippets:
        print(f"search:  {snippet.path}:{snippet.start_line} {snippet.score:.2f}", flush=True)
    assert found.snippets and found.snippets[0].path == FOUND, f"{QUERY!r} must find {FOUND} first"
    cursor = CodeCursor(PATH, PREFIX)
    await told("complete", client.assistant.complete(client.user, workspace, cursor, 0, 0, SECONDS))
    await told("ask", client.assistant.chat(client.user, [workspace], [Message("user", QUESTION)], 0, SECONDS))


async def indexed(client: engine.EngineClient, url: str, deadline: float) -> str:
    """Waits until the repository can be searched: its revision."""
    said = ""
    while True:
        state = await state_of(client, url)
        if state.startswith("revision "):
            return state
        if state != said:
            print(f"waiting: {state}", flush=True)
        said = state
        assert time.monotonic() < deadline, f"{url} is not indexed in time: {said}"
        await asyncio.sleep(1)


async def state_of(client: engine.EngineClient, url: str) -> str:
    """`revision COMMIT` once it can be searched, else what is known."""
    try:
        for status in await client.repositories.list_repositories(client.user):
            if status.url == url:
                return f"revision {status.revision}" if status.revision else f"{status.state.value} {status.error}".strip()
    except NearcodeError as error:
        return error.message
    return "not connected yet"


async def told(what: str, parts: AsyncIterator[Part]) -> None:
    """Prints an answer, which must cite the repository and hold text."""
    text, cited, plan = "", [], ""
    async for part in parts:
        if isinstance(part, Sources):
            cited = [snippet.path for snippet in part.snippets]
        elif isinstance(part, Report):
            plan = part.plan
        else:
            text += part
    print(f"{what}: {' '.join(text.split())[:200]!r} (plan {plan}, from {', '.join(dict.fromkeys(cited))})", flush=True)
    assert text.strip() and cited, f"{what} must answer, from the repository"


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=300.0)
    options = parser.parse_args()
    async with engine.client(settings.load()) as client:
        await check(client, options.url, options.seconds)
    print("ok", flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (AssertionError, NearcodeError) as failure:
        sys.exit(f"failed: {failure}")
