"""A client of the Kubernetes API for tests, apart from the operator's own: plain JSON over HTTPS."""

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import yaml

from tests.servers import eventually

Object = dict[str, Any]

REPOSITORIES = "apis/nearcode.dev/v1alpha1/{namespace}/repositories"
JOBS = "apis/batch/v1/{namespace}/jobs"
PODS = "api/v1/{namespace}/pods"
SECRETS = "api/v1/{namespace}/secrets"
EVENTS = "api/v1/{namespace}/events"
CONFIG_MAPS = "api/v1/{namespace}/configmaps"
DEPLOYMENTS = "apis/apps/v1/{namespace}/deployments"
CRDS = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"

MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """What the API server refused; `message` is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Kube:
    """One connection as the user of a kubeconfig with certificates. `namespace` stands for `{namespace}` in paths."""

    def __init__(self, kubeconfig: Path, namespace: str = "default") -> None:
        self.kubeconfig, self.namespace = kubeconfig, namespace
        self.server, self.context = credentials(kubeconfig)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Kube":
        connector = aiohttp.TCPConnector(ssl=self.context, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None, sock_connect=10))
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._session
        await self._session.close()

    async def call(self, method: str, path: str, body: object = None, content: str = "application/json") -> Object:
        """Raises ApiError."""
        assert self._session
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content} if data else {}
        async with self._session.request(method, self.url(path), data=data, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 400:
                with suppress(json.JSONDecodeError):
                    text = json.loads(text).get("message", text)
                raise ApiError(answer.status, text)
            return dict(json.loads(text))

    async def get(self, path: str) -> Object:
        return await self.call("GET", path)

    async def find(self, path: str) -> Object | None:
        """Like get; None where there is none."""
        try:
            return await self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def items(self, path: str) -> list[Object]:
        return list((await self.get(path))["items"])

    async def create(self, path: str, body: Object) -> Object:
        """Unknown and wrong fields are refused, as kubectl does."""
        return await self.call("POST", f"{path}?fieldValidation=Strict", body)

    async def patch(self, path: str, body: Object) -> Object:
        return await self.call("PATCH", path, body, MERGE)

    async def delete(self, path: str) -> None:
        """Also where there is none."""
        try:
            await self.call("DELETE", path, {"propagationPolicy": "Background"})
        except ApiError as error:
            if error.status != 404:
                raise

    async def watch(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        """Every object once as ADDED, then each change; again from the start where the server ends the stream."""
        assert self._session
        while True:
            listed = await self.get(path)
            for item in listed["items"]:
                yield "ADDED", item
            after = listed["metadata"]["resourceVersion"]
            separator = "&" if "?" in path else "?"
            url = self.url(f"{path}{separator}watch=true&resourceVersion={after}")
            async with self._session.get(url) as stream:
                buffer = b""
                async for piece in stream.content.iter_any():
                    *lines, buffer = (buffer + piece).split(b"\n")
                    for line in lines:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            break
                        yield event["type"], event["object"]
            await asyncio.sleep(0.1)

    def url(self, path: str) -> str:
        """The whole address of a path."""
        return f"{self.server}/{path.replace('{namespace}', f'namespaces/{self.namespace}')}"


def credentials(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    """The server's address, and how to talk to it as the kubeconfig's only user."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=_pem(cluster, "certificate-authority"))
    with tempfile.TemporaryDirectory() as folder:
        pair = [Path(folder, "cert"), Path(folder, "key")]
        for file, name in zip(pair, ("client-certificate", "client-key"), strict=True):
            file.write_text(_pem(user, name))
        context.load_cert_chain(str(pair[0]), str(pair[1]))
    return str(cluster["server"]), context


async def new_namespace(kube: Kube) -> str:
    """A namespace of its own, in which Pods can be made."""
    name = f"test-{uuid4().hex[:8]}"
    await kube.create("api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = f"api/v1/namespaces/{name}/serviceaccounts/default"
    await eventually(lambda: _there(kube, account), 60, f"{account} was not made")
    return name


async def _there(kube: Kube, path: str) -> bool:
    return await kube.find(path) is not None


def _pem(section: Mapping[str, str], name: str) -> str:
    if name in section:
        return Path(section[name]).read_text()
    return base64.b64decode(section[f"{name}-data"]).decode()
