"""Domain words on the wire: what more than one service's messages hold. Each pair of functions is a round trip."""

from collections.abc import Sequence

from nearcode.api.generation.v1 import generation_pb2
from nearcode.api.repositories.v1 import repositories_pb2
from nearcode.api.retrieval.v1 import retrieval_pb2
from nearcode.domain.budget import StageReport
from nearcode.domain.completion import Message
from nearcode.domain.policy import IndexPolicy
from nearcode.domain.repository import (
    FileState,
    FileStatus,
    FileVersion,
    Progress,
    RepositoryState,
    RepositoryStatus,
    Workspace,
)
from nearcode.domain.retrieval import CodeCursor, LaneFind, Snippet
from nearcode.domain.spaces import Coverage

_FILE_STATES = {state: repositories_pb2.FileState.Value(f"FILE_STATE_{state.name}") for state in FileState}
_FILE_STATES_BACK = {number: state for state, number in _FILE_STATES.items()}
_STATES = {state: repositories_pb2.RepositoryState.Value(f"REPOSITORY_STATE_{state.name}") for state in RepositoryState}
_STATES_BACK = {number: state for state, number in _STATES.items()}


def version_to_proto(file: FileVersion) -> repositories_pb2.FileVersion:
    return repositories_pb2.FileVersion(path=file.path, blob=file.blob, size=file.size)


def version_from_proto(message: repositories_pb2.FileVersion) -> FileVersion:
    return FileVersion(message.path, message.blob, message.size)


def file_to_proto(file: FileStatus) -> repositories_pb2.File:
    state = _FILE_STATES[file.state]
    return repositories_pb2.File(path=file.path, blob=file.blob, state=state, reason=file.reason, chunks=file.chunks)


def file_from_proto(message: repositories_pb2.File) -> FileStatus:
    return FileStatus(message.path, message.blob, _FILE_STATES_BACK[message.state], message.reason, message.chunks)


def state_from_proto(state: repositories_pb2.FileState.ValueType) -> FileState:
    return _FILE_STATES_BACK[state]


def repository_to_proto(status: RepositoryStatus) -> repositories_pb2.Repository:
    return repositories_pb2.Repository(
        id=status.id,
        url=status.url,
        name=status.name,
        branch=status.branch,
        state=_STATES[status.state],
        generation=status.generation,
        revision=status.revision,
        wanted_revision=status.wanted,
        files=status.files,
        chunks=status.chunks,
        building_files_done=status.progress.files_done,
        building_files_total=status.progress.files_total,
        building_chunks_done=status.progress.chunks_done,
        seconds=status.seconds,
        error=status.error,
        coverage=map(coverage_to_proto, status.coverage),
        behind_since=status.behind_since,
        files_failed=status.files_failed,
        policy=policy_to_proto(status.policy),
    )


def repository_from_proto(message: repositories_pb2.Repository) -> RepositoryStatus:
    return RepositoryStatus(
        id=message.id,
        url=message.url,
        name=message.name,
        branch=message.branch,
        state=_STATES_BACK[message.state],
        generation=message.generation,
        revision=message.revision,
        wanted=message.wanted_revision,
        files=message.files,
        chunks=message.chunks,
        seconds=message.seconds,
        error=message.error,
        progress=Progress(message.building_files_done, message.building_files_total, message.building_chunks_done),
        coverage=tuple(map(coverage_from_proto, message.coverage)),
        behind_since=message.behind_since,
        files_failed=message.files_failed,
        policy=policy_from_proto(message.policy),
    )


def policy_to_proto(policy: IndexPolicy) -> repositories_pb2.IndexPolicy:
    return repositories_pb2.IndexPolicy(
        include=policy.include, exclude=policy.exclude, largest_file=policy.largest_file, spaces=policy.spaces
    )


def policy_from_proto(message: repositories_pb2.IndexPolicy) -> IndexPolicy:
    return IndexPolicy(tuple(message.include), tuple(message.exclude), message.largest_file, tuple(message.spaces))


def coverage_to_proto(one: Coverage) -> repositories_pb2.Coverage:
    return repositories_pb2.Coverage(
        space=one.space,
        profile=one.profile,
        role=one.role,
        files_done=one.files_done,
        files_total=one.files_total,
        error=one.error,
    )


def coverage_from_proto(message: repositories_pb2.Coverage) -> Coverage:
    return Coverage(message.space, message.profile, message.role, message.files_done, message.files_total, message.error)


def digests_to_proto(digests: dict[str, str]) -> list[repositories_pb2.IndexDigest]:
    return [repositories_pb2.IndexDigest(index_space=space, digest=digest) for space, digest in digests.items()]


def digests_from_proto(messages: Sequence[repositories_pb2.IndexDigest]) -> dict[str, str]:
    return {message.index_space: message.digest for message in messages}


def workspace_to_proto(workspace: Workspace) -> repositories_pb2.Workspace:
    return repositories_pb2.Workspace(remotes=workspace.remotes, head=workspace.head, relative_path=workspace.relative_path)


def workspace_from_proto(message: repositories_pb2.Workspace) -> Workspace:
    return Workspace(tuple(message.remotes), message.head, message.relative_path)


def cursor_to_proto(cursor: CodeCursor) -> retrieval_pb2.CodeCursor:
    return retrieval_pb2.CodeCursor(path=cursor.path, prefix=cursor.prefix, suffix=cursor.suffix)


def cursor_from_proto(message: retrieval_pb2.CodeCursor) -> CodeCursor:
    return CodeCursor(message.path, message.prefix, message.suffix)


def snippet_to_proto(snippet: Snippet) -> retrieval_pb2.Snippet:
    return retrieval_pb2.Snippet(
        repository=snippet.repository,
        path=snippet.path,
        blob=snippet.blob,
        start_line=snippet.start_line,
        end_line=snippet.end_line,
        score=snippet.score,
        reasons=snippet.reasons,
        text=snippet.text,
        header=snippet.header,
        language=snippet.language,
        kind=snippet.kind,
        definitions=snippet.definitions,
        trace=snippet.trace,
        lost_because=snippet.lost_because,
        lanes=[retrieval_pb2.LaneFind(lane=find.lane, rank=find.rank, score=find.score) for find in snippet.lanes],
        probability=snippet.probability,
        id=snippet.id,
    )


def snippet_from_proto(message: retrieval_pb2.Snippet) -> Snippet:
    return Snippet(
        repository=message.repository,
        path=message.path,
        blob=message.blob,
        start_line=message.start_line,
        end_line=message.end_line,
        score=message.score,
        text=message.text,
        reasons=dict(message.reasons),
        header=message.header,
        language=message.language,
        kind=message.kind,
        definitions=tuple(message.definitions),
        trace=message.trace,
        lost_because=message.lost_because,
        lanes=tuple(LaneFind(find.lane, find.rank, find.score) for find in message.lanes),
        probability=message.probability,
        id=message.id,
    )


def stage_to_proto(stage: StageReport) -> retrieval_pb2.Stage:
    return retrieval_pb2.Stage(
        name=stage.name,
        allotted_ms=stage.allotted_ms,
        spent_ms=stage.spent_ms,
        carried_ms=stage.carried_ms,
        start_ms=stage.start_ms,
        skipped=stage.skipped,
    )


def stage_from_proto(message: retrieval_pb2.Stage) -> StageReport:
    return StageReport(
        message.name, message.allotted_ms, message.spent_ms, message.carried_ms, message.start_ms, message.skipped
    )


def message_to_proto(message: Message) -> generation_pb2.Message:
    return generation_pb2.Message(role=message.role, content=message.content)


def message_from_proto(message: generation_pb2.Message) -> Message:
    return Message(message.role, message.content)
