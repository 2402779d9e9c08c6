"""The digest of an index: what is stored, in one number that does not depend on the order."""

import asyncio
import hashlib
import json

from nearcode.domain.index import ChunkIndex, StoredPoint

_MODULUS = 1 << 256
_PAGE = 512


async def digest_of(index: ChunkIndex, repository: str) -> str:
    """Sum modulo 2^256 of SHA-256 over each point's id, payload, model profile and, for static models, vector bytes. Hex."""
    total, page = 0, []
    async for point in index.scan(repository):
        page.append(point)
        if len(page) == _PAGE:
            total += await asyncio.to_thread(_sum, page, index)
            page = []
    total += _sum(page, index)
    return f"{total % _MODULUS:064x}"


def _sum(points: list[StoredPoint], index: ChunkIndex) -> int:
    profile = index.space.profile
    total = 0
    for point in points:
        payload = json.dumps(point.payload, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        digest = hashlib.sha256(f"{point.id}\0{payload}\0{profile.name}\0".encode("utf-8", "surrogatepass"))
        if profile.static:
            digest.update(point.vector)
        total += int.from_bytes(digest.digest())
    return total
