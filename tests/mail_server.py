"""A real SMTP server on loopback, whose spool tells what was really sent; it runs in a thread of the tests' process.

What it does with a mail is chosen by the mailbox it is for: those in `REFUSALS` are answered so, `gone@` ends the
connection once the mail is there, `slow@` is answered only when the server ends. All others are taken.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Self

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

SENDER = "isthmus@example.org"
USER, PASSWORD = "gateway", "open sesame"
REFUSALS = {
    "refused": "550 5.1.1 no such mailbox here",
    "full": "552 5.2.2 the mailbox is full",
    "unknown": "550 we know nobody of that name",
    "later": "451 4.7.1 come back later",
    "far": "550 5.7.1 relaying denied",
    "elsewhere": "554 relay access denied",
    "forged": "550 5.1.8 the sender's domain is not known",
    "signed": "530 5.7.0 say who you are first",
}


@dataclass(frozen=True, slots=True)
class Spooled:
    """One mail that the server has said 250 to. `encrypted`: it came over TLS."""

    sender: str
    recipient: str
    content: bytes
    encrypted: bool

    @property
    def mail(self) -> EmailMessage:
        return message_from_bytes(self.content, policy=policy.default)

    @property
    def text(self) -> str:
        return str(self.mail.get_content()).replace("\r\n", "\n")

    @property
    def message_id(self) -> str:
        return str(self.mail["Message-ID"])


@dataclass(slots=True)
class MailServer:
    """Serves on `port` (0: any) within its block. `certified` is the authority that vouches for it, for TLS."""

    port: int = 0
    tls: str = "none"
    certified: trustme.CA | None = None
    name: str = "localhost"
    needs_password: bool = False
    on_mail: Callable[[Spooled], None] = lambda spooled: None
    spool: list[Spooled] = field(default_factory=list)
    connections: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _server: asyncio.Server | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        context = None
        if self.certified is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.certified.issue_cert(self.name).configure_cert(context)
        implicit = context if self.tls == "implicit" else None
        self._server = self._loop.run_until_complete(
            self._loop.create_server(lambda: self._session(context), "127.0.0.1", self.port, ssl=implicit)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="mail-server")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        assert self._thread is not None
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _session(self, context: ssl.SSLContext | None) -> SMTP:
        self.connections += 1
        starttls = context if self.tls == "starttls" else None
        return SMTP(
            _Handler(self),
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_require_tls=self.tls == "starttls",  # TLS from the start is not known to it
            authenticator=_authenticate,
            loop=self._loop,
            timeout=60,
            ident="test",
        )


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: object) -> AuthResult:
    assert isinstance(given, LoginPassword)
    return AuthResult(success=(given.login, given.password) == (USER.encode(), PASSWORD.encode()), handled=False)


@dataclass(frozen=True)
class _Handler:
    """What aiosmtpd asks about each mail; it finds the methods by these names, and fails at slots."""

    server: MailServer

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.server.needs_password and not session.authenticated:
            return "530 5.7.0 say who you are first"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        mailbox = address.partition("@")[0]
        if mailbox in REFUSALS and not (mailbox == "signed" and session.authenticated):
            return REFUSALS[mailbox]
        if mailbox == "slow":
            await asyncio.get_running_loop().create_future()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        (recipient,) = envelope.rcpt_tos
        assert isinstance(envelope.content, bytes)
        assert isinstance(envelope.mail_from, str)
        encrypted = session.ssl is not None or self.server.tls == "implicit"
        spooled = Spooled(envelope.mail_from, recipient, envelope.content, encrypted)
        self.server.spool.append(spooled)
        self.server.on_mail(spooled)
        if recipient.startswith("gone@"):
            assert server.transport is not None
            server.transport.close()
        return "250 OK"
