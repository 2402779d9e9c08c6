"""Settings of generation."""

from pathlib import Path

from pydantic import Field

from nearcode.runtime.settings import ServiceSettings


class GenerationSettings(ServiceSettings):
    """Settings of the generation service."""

    url: str = ""
    """Base URL of an OpenAI-compatible server (vLLM, Ollama, llama.cpp), with or without `/v1`; or `grpc://HOST:PORT` or
    `grpcs://HOST:PORT` of a Triton server with a decoupled model. Empty: the small model that is built in runs on this machine,
    so that a laptop with no server still answers."""
    model: str = ""
    """Id of the model at `url`, as `/v1/models` lists it, or its name on Triton. Empty: the first one listed; Triton's must be
    named."""
    api_key_file: Path | None = None
    """File that holds the API key for `url`. A path, because settings are printed and secrets must not be."""
    ca_file: Path | None = None
    """Certificates (PEM) of the authorities that vouch for an `https://` or `grpcs://` server. Empty: those of `[tls]`, else
    the system's."""
    allow_plaintext: bool = False
    """Send prompts, which hold code, to an `http://` or `grpc://` server beyond this machine. Every start logs a warning."""
    profile: str = ""
    """Name of the prompt profile (see generation/profiles.toml). Empty: chosen by the model's id."""
    model_path: Path | None = None
    """GGUF file that the embedded model loads instead of the one built in. Only used without `url`."""
    threads: int = Field(default=0, ge=0)
    """Threads of the embedded model. 0: the cores this process may use, at most 4, so that an editor stays responsive."""
    max_tokens: int = Field(default=0, ge=0, le=4096)
    """Tokens at most in a completion. 0: the profile's own limit."""
    chat_tokens: int = Field(default=1024, ge=16, le=16384)
    """Tokens at most in an answer: about 700 words, more than a question about code needs."""
