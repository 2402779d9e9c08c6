"""What every service's settings share."""

from pydantic import BaseModel, ConfigDict


class Branch(BaseModel):
    """A branch of the settings tree: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ServiceSettings(Branch):
    """Where a service listens, and where the others find it."""

    listen: str = "127.0.0.1:0"
    """`host:port` or `unix:PATH` this service listens on when it runs as a target of its own. Port 0: any free one."""
    address: str = ""
    """`host:port` or `unix:PATH` where other processes reach this service. Empty: it runs in the same process."""
    admission: bool = True
    """Refuse at once what cannot be answered in time, and serve people before programs. A process with several services goes by
    the gateway's. Off only to compare: without it, a service under three times its load answers hardly anything in time."""
