"""Settings of gateway."""

from nearcode.runtime.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    """Settings of the gateway service."""
