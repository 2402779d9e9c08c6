"""Traces and logs of a process. Services use the OpenTelemetry API only; `setup` chooses where spans go."""
