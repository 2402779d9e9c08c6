"""Settings of the gateway."""

from nearcode.runtime.settings import Branch, ServiceSettings


class BudgetSettings(Branch):
    """How a call's deadline is split over its stages: weights, not milliseconds. What a stage leaves goes to the later ones."""

    resolve: float = 1.0
    """Finding the repositories that the workspace means: look-ups in memory."""
    retrieve: float = 9.0
    """Embedding the query, both lanes and ranking: 30 ms of 150."""
    generate: float = 30.0
    """Reading the prompt and writing: nearly everything, and all that the stages before it leave."""
    margin: float = 0.02
    """Seconds kept back for the way to the caller, so that an answer made in time also arrives in time."""


class GatewaySettings(ServiceSettings):
    """Settings of the gateway, the service that IDEs call."""

    listen: str = ""
    """`host:port` or `unix:PATH`. Empty: a Unix socket in the home folder when everything runs in one process, else a free port
    of 127.0.0.1."""
    token_file: str = ""
    """File with the token that callers over TCP must send. Empty: `token` in the home folder, made at the first start."""
    reflection: bool = True
    """Answer gRPC reflection, so that tools can list the API."""
    connect: bool = True
    """Let callers connect and disconnect repositories. False where an operator does, from Repository resources: then who may
    write those decides what is indexed."""
    snippets: int = 6
    """Snippets given to a completion or an answer when the caller names no limit: what a small model can read in time."""
    budget: BudgetSettings = BudgetSettings()
    """How deadlines are split."""
