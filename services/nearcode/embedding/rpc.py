"""Embedding on the wire."""

from nearcode.api.embedding.v1 import embedding_pb2 as pb
from nearcode.embedding.service import Embedding
from nearcode.runtime.server import Call


class EmbeddingServicer:
    """Server side."""

    def __init__(self, embedding: Embedding) -> None:
        self._embedding = embedding

    async def embed(self, request: pb.EmbedRequest, call: Call) -> pb.EmbedResponse:
        vectors = await self._embedding.embed(request.texts, request.query)
        return pb.EmbedResponse(
            model_profile=self._embedding.profile_name,
            dimensions=vectors.shape[1],
            vectors=vectors.astype("<f4").tobytes(),
        )
