"""The scripted provider behind `gateway mock` and the provider type `mock`: sans-IO, deterministic, faults on demand.

`respond(request_of(...))` decides a `Scenario`; `gateway.http.mock_server` plays it on sockets, the `mock` engine in
process, and both keep a `Bill`. A surface (one provider's API) is one entry of `respond.SURFACES`; `script` has the
directives.
"""

from gateway.providers.scripted.bill import Bill, Entry, Row, Seen
from gateway.providers.scripted.respond import request_of, respond
from gateway.providers.scripted.scenario import Cut, End, Head, Request, Scenario, Send, Stall, Step, Wait
from gateway.providers.scripted.script import Script, script_of

__all__ = [
    "Bill",
    "Cut",
    "End",
    "Entry",
    "Head",
    "Request",
    "Row",
    "Scenario",
    "Script",
    "Seen",
    "Send",
    "Stall",
    "Step",
    "Wait",
    "request_of",
    "respond",
    "script_of",
]
