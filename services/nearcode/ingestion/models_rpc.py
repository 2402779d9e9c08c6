"""The models of index spaces on the wire."""

from nearcode.api.spaces.v1 import spaces_pb2 as pb
from nearcode.domain.spaces import Comparison, Models, SpaceState, SpaceStatus
from nearcode.runtime import wire
from nearcode.runtime.channel import Client
from nearcode.runtime.server import Call

_SECONDS = 60.0
_COMPARE_SECONDS = 600.0


class SpacesServicer:
    """Server side."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def list_spaces(self, request: pb.ListSpacesRequest, call: Call) -> pb.ListSpacesResponse:
        return pb.ListSpacesResponse(spaces=map(_to_proto, await self._models.list_spaces()))

    async def use_model(self, request: pb.UseModelRequest, call: Call) -> pb.UseModelResponse:
        return pb.UseModelResponse(space=_to_proto(await self._models.use(request.space, request.profile)))

    async def swap_model(self, request: pb.SwapModelRequest, call: Call) -> pb.SwapModelResponse:
        return pb.SwapModelResponse(space=_to_proto(await self._models.swap(request.space)))

    async def roll_back_model(self, request: pb.RollBackModelRequest, call: Call) -> pb.RollBackModelResponse:
        return pb.RollBackModelResponse(space=_to_proto(await self._models.roll_back(request.space)))

    async def abandon_model(self, request: pb.AbandonModelRequest, call: Call) -> pb.AbandonModelResponse:
        return pb.AbandonModelResponse(space=_to_proto(await self._models.abandon(request.space)))

    async def compare_models(self, request: pb.CompareModelsRequest, call: Call) -> pb.CompareModelsResponse:
        compared = await self._models.compare(request.space, request.questions)
        return pb.CompareModelsResponse(
            questions=compared.questions,
            active=compared.active,
            other=compared.other,
            agreement=compared.agreement,
            active_profile=compared.active_profile,
            other_profile=compared.other_profile,
        )


class RemoteModels:
    """Client side: implements domain.spaces.Models."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def list_spaces(self) -> list[SpaceStatus]:
        answer = await self._client.unary("ListSpaces", pb.ListSpacesRequest(), seconds=_SECONDS)
        return [_from_proto(space) for space in answer.spaces]

    async def use(self, space: str, profile: str) -> SpaceStatus:
        request = pb.UseModelRequest(space=space, profile=profile)
        return _from_proto((await self._client.unary("UseModel", request, seconds=_SECONDS)).space)

    async def swap(self, space: str) -> SpaceStatus:
        request = pb.SwapModelRequest(space=space)
        return _from_proto((await self._client.unary("SwapModel", request, seconds=_SECONDS)).space)

    async def roll_back(self, space: str) -> SpaceStatus:
        request = pb.RollBackModelRequest(space=space)
        return _from_proto((await self._client.unary("RollBackModel", request, seconds=_SECONDS)).space)

    async def abandon(self, space: str) -> SpaceStatus:
        request = pb.AbandonModelRequest(space=space)
        return _from_proto((await self._client.unary("AbandonModel", request, seconds=_SECONDS)).space)

    async def compare(self, space: str, questions: int) -> Comparison:
        request = pb.CompareModelsRequest(space=space, questions=questions)
        told = await self._client.unary("CompareModels", request, seconds=_COMPARE_SECONDS)
        profiles = told.active_profile, told.other_profile
        return Comparison(told.questions, *profiles, told.active, told.other, told.agreement)


def _to_proto(status: SpaceStatus) -> pb.Space:
    state = status.state
    return pb.Space(
        name=state.space,
        active=state.active,
        building=state.building,
        previous=state.previous,
        coverage=map(wire.coverage_to_proto, status.coverage),
    )


def _from_proto(message: pb.Space) -> SpaceStatus:
    state = SpaceState(message.name, message.active, message.building, message.previous)
    return SpaceStatus(state, tuple(map(wire.coverage_from_proto, message.coverage)))
