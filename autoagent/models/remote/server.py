"""The line to one server: requests through the ``openai`` client, and what can go wrong in plain words."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Generator
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from autoagent.errors import ContextFull, ModelError, ServerError

if TYPE_CHECKING:
    import openai

RETRIES = 3  # after the first try; the client waits 0.5, 1, 2 s before each, or as Retry-After says (≤ 120 s)
HEARTBEAT = 0.5  # seconds after which a waiting stream gives its caller a chance to stop
_CONNECT = 5.0  # seconds
_OPENED = object()  # the server took the request and answers
_LONGEST = 300  # characters of a server's own words in an error line
_FULL = re.compile(
    r"context.?(length|size|window)|exceed\w* the (available |maximum )?context|prompt is too long|"
    r"too many (input )?tokens|maximum.{0,20}context",
    re.IGNORECASE,
)


class Refused(Exception):
    """The server does not take the request as it is; ``parameter`` is the one it blames, if it says so."""

    def __init__(self, said: str, parameter: str) -> None:
        super().__init__(said)
        self.parameter = parameter


class Unknown(ModelError):
    """404: the server does not have this model, or this address."""


class Failed(ServerError):
    """The server is there, but answers with an error of its own."""


class BrokenOff(ServerError):
    """The answer had begun, and then the connection was lost."""


class Spoiled(ServerError):
    """The server gave up in the middle of an answer; some do when the model's call is no valid JSON."""


class Server:
    """A server by its base address. Threads may share it.

    Args:
        base_url: Where the API is, like ``http://127.0.0.1:8000/v1``; a bare host gets the ``/v1``.
        api_key: Sent to this server and shown nowhere.
        timeout: Longest silence of the server, in seconds.

    Raises:
        ModelError: the address or the key cannot be used.
    """

    def __init__(self, base_url: str, *, api_key: str | None = None, timeout: float = 300.0) -> None:
        import openai

        self._key = (api_key or "").strip()
        if not self._key.isascii() or not self._key.isprintable():
            raise ModelError("the API key has characters that no key has: copy it again")
        base = _checked(base_url)
        self.url = re.sub(r"//[^/@]*@", "//", base)  # without a name and password
        self.root = base.removesuffix("/v1")
        self._timeout = timeout
        self._client = openai.OpenAI(
            base_url=base,
            api_key=self._key or "none",  # the client insists on one
            timeout=openai.Timeout(timeout, connect=_CONNECT),
            max_retries=RETRIES,
        )
        weakref.finalize(self, self._client.close)  # with whoever holds it, or at exit

    def ask(
        self, path: str, body: dict[str, Any] | None = None, *, timeout: float = 5.0, retries: int = 0
    ) -> Any:
        """One short request (POST where there is a body); what was answered, parsed if it was JSON.

        Raises:
            ServerError, ModelError, Refused, ContextFull: see :meth:`explained`.
        """
        client = self._client.with_options(max_retries=retries, timeout=timeout)
        try:
            if body is None:
                return client.get(path, cast_to=object)
            return client.post(path, cast_to=object, body=body)
        except Exception as error:
            raise self.explained(error) from None  # the client's own words may repeat the key

    def chat(self, body: dict[str, Any]) -> Generator[Any, None, None]:
        """Yield the chunks of a streamed chat completion as parsed JSON, and None while nothing comes.

        The request runs in a thread of its own, so that the caller can stop at any time (by closing this
        generator) although the server says nothing.

        Raises:
            ServerError, ModelError, Refused, ContextFull: see :meth:`explained`.
        """
        arriving: SimpleQueue[Any] = SimpleQueue()
        stopped = threading.Event()
        reading = threading.Thread(target=self._read, args=(body, arriving, stopped), daemon=True)
        reading.start()
        begun = False
        try:
            while True:
                try:
                    item = arriving.get(timeout=HEARTBEAT)
                except Empty:
                    yield None
                    continue
                if item is stopped:
                    return
                if isinstance(item, Exception):
                    raise self.explained(item, begun=begun) from None
                begun = True
                if item is not _OPENED:
                    yield item
        finally:
            stopped.set()

    def _read(self, body: dict[str, Any], arriving: SimpleQueue[Any], stopped: threading.Event) -> None:
        """Put ``_OPENED`` into the queue, every chunk, and ``stopped``; or else the exception."""
        import openai

        try:
            with self._client.post(
                "/chat/completions", cast_to=object, body=body, stream=True, stream_cls=openai.Stream[object]
            ) as stream:
                arriving.put(_OPENED)
                for chunk in stream:
                    if stopped.is_set():
                        return  # leaving closes the connection, and the server stops
                    arriving.put(chunk)
            arriving.put(stopped)
        except Exception as error:
            arriving.put(error)

    def explained(self, error: Exception, *, begun: bool = False) -> Exception:
        """The error in one line for who must act on it: ModelError the user, Refused our next try.

        ``begun``: part of the answer was here already. What is no fault of the server comes back as it is.
        """
        import openai

        if isinstance(error, openai.APITimeoutError):
            return self._lost(f"has said nothing for {self._timeout:g} seconds", begun)
        if isinstance(error, openai.APIConnectionError):
            reason = self._clean(str(error.__cause__ or error))
            return self._lost(
                f"broke off its answer: {reason}" if begun else f"cannot be reached: {reason}", begun
            )
        if isinstance(error, openai.APIStatusError):
            return self._by_status(error)
        midway = Spoiled if begun else ServerError
        if isinstance(error, openai.APIError):  # reported inside the stream
            said = self._clean(_said(error.body) or error.message)
            return _full(said) or midway(f"the server at {self.url} stopped with an error: {said}")
        if isinstance(error, ValueError):
            return midway(f"the server at {self.url} answers with broken JSON: {self._clean(str(error))}")
        return error

    def _by_status(self, error: openai.APIStatusError) -> Exception:
        said, status = self._clean(_said(error.body)), error.status_code
        where = f"the server at {self.url}"
        if status in (401, 403):
            return ModelError(f"{where} refuses the API key ({status}): set OPENAI_API_KEY; it says: {said}")
        if status == 404:
            return Unknown(
                f"{where} does not know this model or address (404): see --model and --base-url (such "
                f"addresses often end in /v1); it says: {said}"
            )
        if status == 429:
            return Failed(f"{where} takes no more requests for now (429): try again later; {said}")
        if full := _full(said):
            return full
        if status >= 500 and status != 501:
            return Failed(f"{where} failed ({status}): {said}")
        return Refused(f"{where} refuses the request ({status}): {said}", error.param or "")

    def _lost(self, what: str, begun: bool) -> ServerError:
        return (BrokenOff if begun else ServerError)(f"the server at {self.url} {what}")

    def _clean(self, said: str) -> str:
        """Its words on one line, not too many, and without the key."""
        words = " ".join(said.split())
        words = words.replace(self._key, "…") if self._key else words
        return words if len(words) <= _LONGEST else words[:_LONGEST] + "…"


def _checked(base_url: str) -> str:
    """The address, without a slash at the end."""
    base = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(base)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise ModelError(f"{base_url!r} is no server's address: write it like http://127.0.0.1:8000/v1")
    return base if parts.path else f"{base}/v1"


def _full(said: str) -> ContextFull | None:
    return ContextFull(f"the conversation fills the model's window: {said}") if _FULL.search(said) else None


def _said(body: object) -> str:
    """What the server says about an error, found where the different servers put it."""
    for _ in range(4):
        if not isinstance(body, dict):
            break
        body = next((body[key] for key in ("message", "detail", "error") if body.get(key)), str(body))
    text = "" if body is None else str(body)
    return "a web page" if re.match(r"\s*<(!doctype|html)", text, re.IGNORECASE) else text.strip()
