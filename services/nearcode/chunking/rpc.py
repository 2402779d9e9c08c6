"""Chunking on the wire."""

from nearcode.api.chunking.v1 import chunking_pb2 as pb
from nearcode.chunking.service import Chunking
from nearcode.runtime.server import Call


class ChunkingServicer:
    """Server side."""

    def __init__(self, chunking: Chunking) -> None:
        self._chunking = chunking

    async def chunk(self, request: pb.ChunkRequest, call: Call) -> pb.ChunkResponse:
        return pb.ChunkResponse(outline=await self._chunking.preview(request.path, request.source))
