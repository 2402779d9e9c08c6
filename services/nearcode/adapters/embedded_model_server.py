"""The child process behind `EmbeddedModel`: llama.cpp with an OpenAI door on loopback.

Reads one JSON line from stdin (so that the key is on no command line), answers with one JSON line `{"url": ...}` or
`{"error": ...}` on stdout, and serves until stdin closes or its parent ends.
"""

import json
import os
import sys
from typing import Any

from nearcode.runtime.leash import die_with_parent

# A batch is the unit that a cancelled prompt still finishes: 64 tokens are 0.2 s on two cores and cost no throughput
# against 512 (measured: 330 and 340 tokens/s).
_BATCH = 64


def _parameters(config: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = config["model"]
    params.model_alias = {config["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [config["key"]]
    params.n_parallel = config["slots"]
    params.n_ctx = config["context"] * config["slots"]
    params.n_batch = params.n_ubatch = _BATCH
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.poll = 0
    # A token has too little work for two threads that sleep: 79 tokens/s with one, 45 with two. A batch has enough.
    params.cpuparams.n_threads = 1 if config["small"] else config["threads"]
    params.cpuparams_batch.n_threads = config["threads"]
    params.n_threads_http = 4
    params.cache_prompt = True
    params.cache_ram_mib = 0  # each slot keeps its own prefix; more copies cost memory
    params.ui = False
    params.verbosity = 0  # never log what is in a prompt
    return params


def main() -> None:
    """Runs the server; see the module."""
    config = json.loads(sys.stdin.readline())
    die_with_parent(config["parent"])
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # llama.cpp prints to stdout
    # Threads that spin while they wait for each other collapse when other programs use the cores: with two busy neighbors
    # on two cores 11 prompt tokens/s and 1 generated, against 120 and 40 when they sleep.
    os.environ["OMP_WAIT_POLICY"] = "passive"  # noqa: TID251 - read by the OpenMP runtime when it is loaded
    try:
        import xllamacpp

        server = xllamacpp.Server(_parameters(config))
    except (ImportError, RuntimeError, OSError, ValueError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answer, flush=True)
        sys.exit(1)
    print(json.dumps({"url": server.listening_address}), file=answer, flush=True)
    sys.stdin.read()
    os._exit(0)  # the native threads have nothing to save


if __name__ == "__main__":
    main()
