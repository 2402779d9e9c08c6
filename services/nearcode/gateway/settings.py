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

    token_file: str = ""
    """File that holds the token which callers over TCP must send. Empty: `token` in the home folder, made at the first start."""
    reflection: bool = True
    """Answer gRPC reflection, so that tools can list the API."""
    snippets: int = 6
    """Snippets given to a completion or an answer when the caller names no limit: what a small model can read in time."""
    complete_seconds: float = 3.0
    """Deadline of a completion whose caller names none."""
    chat_seconds: float = 60.0
    """Deadline of a chat turn whose caller names none."""
    budget: BudgetSettings = BudgetSettings()
    """How deadlines are split."""
