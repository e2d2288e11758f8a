"""What routes ask of the application they belong to: the gateway, the event tail, and who is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from isthmus.api.authentication import Tokens
from isthmus.api.limits import PasswordGate, StreamPlaces
from isthmus.api.metrics import Figures
from isthmus.events import Tail
from isthmus.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Services:
    """Everything one web process shares between its requests."""

    gateway: Gateway
    tail: Tail
    tokens: Tokens
    passwords: PasswordGate
    streams: StreamPlaces
    figures: Figures


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.services.gateway
    return gateway


Shared = Annotated[Services, Depends(_services)]
TheGateway = Annotated[Gateway, Depends(_gateway)]
