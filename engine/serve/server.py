"""OpenAI's chat completions over HTTP, on the loopback address alone.

Knows HTTP, server-sent events and OpenAI's shapes. Does not know how answers come about (see
`answering`). A browser's page of another site, which DNS may have led here, is turned away: by
the `Host` it believes in, and by its `Origin`.
"""

from __future__ import annotations

import errno
import hmac
import json
import re
import secrets
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from engine.chat.messages import BadField
from engine.serve.answering import Answerer, Begun, Ended, Events, Left
from engine.serve.request import Question, parse
from store.errors import BadInput, Conflict, NotFound, WorkbenchError, WorkerDied

HOST = "127.0.0.1"
MAX_BODY = 8 * 1024 * 1024
_DRAINED = 8 * MAX_BODY
"""Of a body that is refused, so many bytes are read: else its sender sees no answer at all."""
_LOOPBACK = re.compile(r"(?i)(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")
_STATUS: dict[type[WorkbenchError], int] = {WorkerDied: 503, Conflict: 429, NotFound: 404}
_PATHS = {"/v1/models": "GET", "/v1/chat/completions": "POST"}


class _Refused(Exception):
    """A request that is answered with an HTTP error."""

    def __init__(
        self, status: int, message: str, code: str | None = None, field: str | None = None
    ):
        super().__init__(message)
        self.status, self.message, self.code, self.field = status, message, code, field


class Server(ThreadingHTTPServer):
    """The endpoint; it listens from the start and answers once `open` was called.

    Args:
        port: 0 for any that is free; see `url`.
        key: what clients must send as a bearer token; None asks for none.
        on_request: hears method, path and status of every request, in one line.
    Raises:
        Conflict: the port is taken.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, key: str | None = None, on_request: Callable[[str], None] | None = None
    ) -> None:
        self.key = key
        self.told = on_request or (lambda _: None)
        self.answerer: Answerer
        self.name = ""
        self.names: frozenset[str] = frozenset()
        self.created = int(time.time())
        self._answering = 0
        self._answered = threading.Condition()
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            why = "taken" if error.errno == errno.EADDRINUSE else "not for you to open"
            raise Conflict(
                f"port {port} is {why}", "Choose another --port; 0 takes any that is free."
            ) from error

    def server_bind(self) -> None:
        """Without the look-up of a host name that the standard library makes here."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def url(self) -> str:
        """What a client takes as `base_url`."""
        return f"http://{HOST}:{self.server_port}/v1"

    def open(self, answerer: Answerer, name: str, also: frozenset[str]) -> None:
        """Answer from now on, as the model `name`; `also` are other names that clients may use."""
        self.answerer, self.name, self.names = answerer, name, also | {name}

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While a request is being answered, to its last word."""
        with self._answered:
            self._answering += 1
        try:
            yield
        finally:
            with self._answered:
                self._answering -= 1
                self._answered.notify_all()

    def all_answered(self, seconds: float) -> None:
        """Wait until everybody has been told the last word, for so long at most."""
        with self._answered:
            self._answered.wait_for(lambda: not self._answering, seconds)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is no fault of ours; anything else leaves its trace."""
        import sys

        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "workbench"
    sys_version = ""
    timeout = 60.0
    disable_nagle_algorithm = True  # a token is not to wait for the next one
    server: Server
    requestline = ""
    _streaming = False

    def do_GET(self) -> None:
        """Models."""
        self._guarded(self._models)

    def do_POST(self) -> None:
        """Chat completions."""
        self._guarded(self._completions)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses itself, in OpenAI's shape."""
        if code == 501:
            code, message = 405, f"{self.command}: expected GET or POST"
        self._fail(_Refused(code, message or explain or self.responses[code][0]))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: see `_answered`."""

    def _guarded(self, act: Callable[[str], None]) -> None:
        with self.server.answering():
            self._say(act)

    def _say(self, act: Callable[[str], None]) -> None:
        self._streaming = False
        try:
            path = unquote(self.path.partition("?")[0]).rstrip("/")
            self._admit(path)
            act(path)
        except _Refused as refused:
            self._fail(refused)
        except WorkbenchError as error:
            self._fail(_refusal(error))
        except (Left, ConnectionError, TimeoutError):
            self.close_connection = True
            self._log("client left")

    def _admit(self, path: str) -> None:
        """Turn away whom this is not for; 404 and 405 for what is not here."""
        if not _LOOPBACK.fullmatch(self.headers.get("Host", "")):
            raise _Refused(403, f"Host: expected {HOST} or localhost")
        origin = self.headers.get("Origin")
        if origin is not None and not _LOOPBACK.fullmatch(re.sub(r"^https?://", "", origin)):
            raise _Refused(403, f"Origin: {origin} may not ask here")
        if self.server.key is not None:
            given = self.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, f"Bearer {self.server.key}".encode()):
                raise _Refused(401, "Authorization: expected Bearer and the key", "invalid_api_key")
        known = "GET" if path.startswith("/v1/models/") else _PATHS.get(path)
        if known is None:
            raise _Refused(404, f"{path or '/'}: expected {' or '.join(_PATHS)}", "unknown_url")
        if known != self.command:
            raise _Refused(405, f"{path}: expected {known}")

    def _models(self, path: str) -> None:
        wanted = path.removeprefix("/v1/models").lstrip("/")
        model = {
            "id": self.server.name,
            "object": "model",
            "created": self.server.created,
            "owned_by": "workbench",
        }
        if not wanted:
            self._reply(200, {"object": "list", "data": [model]})
        else:
            self._known(wanted)
            self._reply(200, model)

    def _known(self, model: str) -> None:
        if model not in self.server.names and f"/{model}" not in self.server.names:
            raise _Refused(
                404, f"model '{model}': expected '{self.server.name}'", "model_not_found", "model"
            )

    def _completions(self, _path: str) -> None:
        question = parse(self._body(), secrets.randbits(53))
        self._known(question.model)
        with closing(self.server.answerer.answer(question, self._left)) as events:
            if question.stream:
                self._stream(question, events)
            else:
                self._whole(events)

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers or "Content-Length" not in self.headers:
            raise _Refused(411, "Content-Length: missing")
        length = self.headers["Content-Length"].strip()
        if not (length.isascii() and length.isdecimal()):
            raise _Refused(400, "Content-Length: expected a number")
        if int(length) > MAX_BODY:
            raise _Refused(413, f"the body has {int(length):,} bytes; expected under {MAX_BODY:,}")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise Left
        return body

    def _whole(self, events: Events) -> None:
        texts: list[str] = []
        prompt = 0
        for event in events:
            match event:
                case Begun(prompt_tokens=prompt):
                    pass
                case Ended(tokens=tokens, reason=reason):
                    message = {"role": "assistant", "content": "".join(texts), "refusal": None}
                    choice = {"index": 0, "message": message, "finish_reason": reason}
                    body = self._object("chat.completion", [{**choice, "logprobs": None}])
                    self._reply(200, {**body, "usage": _usage(prompt, tokens)})
                case _:
                    texts.append(event)

    def _stream(self, question: Question, events: Events) -> None:
        begun = next(events)  # what is refused is refused before anything is sent
        assert isinstance(begun, Begun)
        self._streaming = self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        frame = self._object("chat.completion.chunk", [])
        if question.usage:
            frame["usage"] = None

        def choice(delta: dict[str, str], reason: str | None = None) -> None:
            said = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
            self._event({**frame, "choices": [said]})

        choice({"role": "assistant", "content": ""})
        for event in events:
            if isinstance(event, Ended):
                choice({}, event.reason)
                if question.usage:
                    self._event({**frame, "usage": _usage(begun.prompt_tokens, event.tokens)})
                self.wfile.write(b"data: [DONE]\n\n")
                self._log("200")
            elif isinstance(event, str):
                choice({"content": event})

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": self.server.name,
            "choices": choices,
        }

    def _event(self, value: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + _json(value) + b"\n\n")

    def _reply(self, status: int, value: dict[str, Any], *, close: bool = False) -> None:
        body = _json(value)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        if status == 405:
            self.send_header("Allow", _PATHS.get(self.path, "GET"))
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self._log(str(status))

    def _fail(self, refused: _Refused) -> None:
        """Tell what went wrong; the connection ends, as not all of it may have been read."""
        self.close_connection = True
        kind = "server_error" if refused.status >= 500 else "invalid_request_error"
        error = {
            "message": refused.message,
            "type": kind,
            "param": refused.field,
            "code": refused.code,
        }
        with suppress(OSError):
            if self._streaming:
                self._event({"error": error})
                self._log(f"200, then {refused.message}")
                return
            self._reply(refused.status, {"error": error}, close=True)
            self._drain()

    def _drain(self) -> None:
        """Take in what is still being sent: closing on it would take the answer away again."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(2.0)
        taken = 0
        while taken < _DRAINED and (data := self.rfile.read1(1 << 16)):
            taken += len(data)

    def _left(self) -> bool:
        """Whether the client has closed its end."""
        look = select.poll()
        look.register(self.connection, select.POLLIN)
        if not look.poll(0):
            return False
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _log(self, end: str) -> None:
        self.server.told(f"{self.requestline} → {end}")


def _refusal(error: WorkbenchError) -> _Refused:
    status = next((s for kind, s in _STATUS.items() if isinstance(error, kind)), 400)
    field = error.field if isinstance(error, BadField) else None
    long = isinstance(error, BadInput) and " tokens; " in error.message
    code = "context_length_exceeded" if long else None
    return _Refused(status, f"{error.message}. {error.hint}", code, field)


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _json(value: dict[str, Any]) -> bytes:
    """ASCII, so that no text of a model can hold what a terminal obeys."""
    return json.dumps(value).encode()
