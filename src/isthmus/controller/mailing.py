"""Handing mails to the mail server: the outbox of `store.notices` is worked under a lease, so that one process sends.

A mail is marked as sent once the server has taken it (250). A process that is killed in between sends it again under
the Message-ID that it had: whoever keeps the mails knows them for one. A mail that can't be handed over rests and is
tried ever more slowly; while the server is away or wants other credentials, all rest and none loses a try. Only what
the server says of the recipient makes a mail given up at once. Nothing here can hold up a job.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

import aiosmtplib
import structlog

from isthmus.config import MailConfig
from isthmus.controller.letters import compose
from isthmus.errors import ConfigurationError, StorageFault
from isthmus.failpoint import reach
from isthmus.store import Letter, Store, Trouble, Viewer
from isthmus.store.views import JobView

_log = structlog.get_logger(__name__)

LOOK_S = 0.5
BATCH = 100
CONNECTIONS = 4  # a mailbox at which the server hesitates holds up one of them
FAREWELL_S = 2.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

_NOT_LET_IN = frozenset({530, 534, 535, 538})
"""Codes that ask for a (better) sign-in, whatever was asked of the server (RFC 4954, 6)."""
_NO_MAILBOX = 550
_OF_MAILBOX = re.compile(r"5\.(1\.(?![78]\b)|2\.)\d")
"""Enhanced codes about a recipient's address or mailbox; 5.1.7 and 5.1.8 are the sender's (RFC 3463, 3.2 and 3.3)."""
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")


class ServerAway(Exception):
    """No mail can be handed to the server, whomever it is for: it is not reached, or does not let us in."""


@dataclass(frozen=True, slots=True)
class Mailer:
    """Sends what is due. `why` says of a job, in sentences, how it is."""

    store: Store
    mail: MailConfig
    why: Callable[[JobView], Sequence[str]]

    async def run(self) -> None:
        """Mails leave as they become due, until the task is cancelled; a server that is away is tried ever slower."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                more = await self._round()
            except (ServerAway, StorageFault) as fault:
                _log.warning("mails wait", fault=str(fault), pause_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            if not more:
                await asyncio.sleep(LOOK_S)

    async def _round(self) -> bool:
        """What was due is sent or put off; whether there may be more. ServerAway: the rest stays due."""
        letters = await asyncio.to_thread(self.store.due_letters, time.time(), BATCH)
        waiting = iter(letters)
        workers = (self._work_off(waiting) for _ in range(min(CONNECTIONS, len(letters))))
        outcomes = await asyncio.gather(*workers, return_exceptions=True)
        for fault in filter(None, outcomes):
            raise fault
        return len(letters) == BATCH

    async def _work_off(self, waiting: Iterator[Letter]) -> None:
        """Letters are taken and sent, over one connection as long as it holds. ServerAway: those left are noted so."""
        async with contextlib.AsyncExitStack() as stack:
            client: aiosmtplib.SMTP | None = None
            for letter in waiting:
                try:
                    if client is None or not client.is_connected:
                        client = await stack.enter_async_context(self._connected())
                    await self._send(client, letter)
                except ServerAway as fault:
                    left = [letter.id, *(one.id for one in waiting)]
                    await self._put_off(left, Trouble.SERVER, str(fault))
                    raise

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiosmtplib.SMTP]:
        """A connection by which the server takes mails. ServerAway: why there is none."""
        mail = self.mail
        try:
            client = aiosmtplib.SMTP(
                hostname=mail.host,
                port=mail.server_port,
                use_tls=mail.tls == "implicit",
                start_tls=mail.tls == "starttls",
                tls_context=None if mail.tls == "none" else ssl.create_default_context(cafile=mail.ca_file),
                username=mail.user or None,
                password=mail.password() or None,
                timeout=mail.timeout_s,
            )
            await client.connect()
        except (aiosmtplib.SMTPException, OSError, ConfigurationError) as fault:
            raise ServerAway(f"{mail.host}, port {mail.server_port}: {_said(fault)}") from fault
        try:
            yield client
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=FAREWELL_S)
        finally:
            client.close()

    async def _send(self, client: aiosmtplib.SMTP, letter: Letter) -> None:
        """The server has the mail and it is marked so, or it is put off. ServerAway: no mail goes out."""
        try:
            written = await asyncio.to_thread(self._written, letter)
            await client.sendmail(self.mail.sender, [letter.mail_to], written)
        except aiosmtplib.SMTPSenderRefused as fault:
            raise ServerAway(f"the server refuses mails of {self.mail.sender}: {_said(fault)}") from fault
        except (aiosmtplib.SMTPException, OSError) as fault:
            answers = _answers(fault)
            of_this_mail = isinstance(fault, aiosmtplib.SMTPRecipientsRefused)  # others may have other recipients
            if not of_this_mail and any(answer.code in _NOT_LET_IN for answer in answers):
                raise ServerAway(f"the server does not let the gateway send: {_said(fault)}") from fault
            trouble = Trouble.REFUSED if answers and all(map(_has_no_mailbox, answers)) else Trouble.MAIL
            await self._put_off([letter.id], trouble, _said(fault))
        except StorageFault:
            raise
        except Exception:
            _log.exception("a mail met a fault of ours", job=letter.job_id, letter=letter.id)
            await self._put_off([letter.id], Trouble.MAIL, "the mail could not be written; the gateway's log says why")
        else:
            reach("mailing.after_250")
            await self._mark_sent(letter)

    def _written(self, letter: Letter) -> bytes:
        job = self.store.job(Viewer(letter.owner_id), letter.job_id)
        mail = compose(
            letter,
            job,
            self.why(job),
            gateway_id=self.store.gateway_id,
            sender=self.mail.sender,
            public_url=self.mail.public_url,
        )
        return mail.as_bytes()

    async def _mark_sent(self, letter: Letter) -> None:
        """It is marked as soon as the store can: else it would be sent again."""
        while True:
            try:
                return await asyncio.to_thread(self.store.mark_sent, [letter.id], time.time())
            except StorageFault as fault:
                _log.warning("a mail that was sent could not be marked so yet", letter=letter.id, fault=str(fault))
                await asyncio.sleep(FIRST_PAUSE_S)

    async def _put_off(self, ids: Sequence[int], trouble: Trouble, fault: str) -> None:
        _log.warning("mails not sent", letters=len(ids), trouble=trouble.name, fault=fault)
        await asyncio.to_thread(self.store.mark_failed, ids, trouble, fault, time.time())


def _answers(fault: Exception) -> Sequence[aiosmtplib.SMTPResponseException]:
    """What the server answered to the mail; nothing if the connection broke."""
    if isinstance(fault, aiosmtplib.SMTPRecipientsRefused):
        return fault.recipients
    return [fault] if isinstance(fault, aiosmtplib.SMTPResponseException) else []


def _has_no_mailbox(answer: aiosmtplib.SMTPResponseException) -> bool:
    """Whether the server will never take a mail for this recipient, because of the recipient.

    What it refuses for its policy (5.7.x), e.g. to relay for us, an operator can mend.
    """
    if answer.code < 500 or not _ENHANCED.match(answer.message):
        return answer.code == _NO_MAILBOX
    return bool(_OF_MAILBOX.match(answer.message))


def _said(fault: Exception) -> str:
    """What went wrong, in one line; of an answer of the server's, its code and words."""
    if isinstance(fault, aiosmtplib.SMTPRecipientsRefused):
        return "; ".join(map(_said, fault.recipients))
    words = f"{fault.code} {fault.message}" if isinstance(fault, aiosmtplib.SMTPResponseException) else str(fault)
    return " ".join(words.split())[:500] or type(fault).__name__
