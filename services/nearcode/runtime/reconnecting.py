"""How gRPC channels of ours find a server again that was restarted, here or under another address."""

RECONNECTING: tuple[tuple[str, int], ...] = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),  # despite its name: what one attempt to connect may take, 20 seconds by default
    ("grpc.max_reconnect_backoff_ms", 1000),  # two minutes by default, long after a restarted server is back
    # A pod that comes back has a new address. By default the name is not looked up again within 30 seconds, and the first look
    # after a pod's end still finds the old address.
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
)
"""Channel options (gRPC core's `channel_arg_names.h`): a server is found within seconds of its return."""
