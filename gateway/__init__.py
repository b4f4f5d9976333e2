"""llm-gateway: OpenAI-shaped requests in, the right provider out, at the speed of a reverse proxy.

The map. The path of a request is flat at the top; whatever there can be many of is a drawer with one small
file per thing. To understand it all, read `pipeline.py` first, then `contracts.py`.

    __main__.py       the command line
    wiring.py         configuration -> snapshot; the only file that knows every drawer
    building.py       extensions made from their settings, or every reason why not
    carry_over.py     what of one snapshot goes on in the next, and what is closed
    explanation.py    a snapshot in words
    pipeline.py       THE PATH OF A REQUEST, top to bottom
    relay.py          a provider's stream on its way to the client
    stream_reply.py   the client's side of a stream: head, events, comments, end
    whole.py          a provider's answer read as a whole
    settlement.py     what an exchange leaves behind, exactly once

    contracts.py      the shapes everything plugs into, and the phases of a request
    exchange.py       one request's record
    conversation.py   neutral types, what dialects translate from and to
    errors.py         every error: whose fault, where to try again, how it reads as HTTP
    catalog.py        names -> implementations, third parties' included
    snapshot.py       a wired configuration, and what outlives it
    client_address.py a client's address as the key of a limit
    deadlines.py      clocks as numbers, served by one timer wheel
    roster.py         every worker of this machine, in shared memory
    lease.py          what only one worker at a time may do

    server/           processes and listeners
    lanes/            connections -> exchanges
    endpoints/        what clients may call
    policies/         what may happen before and after an attempt
    routing/          which target gets this attempt
    providers/        whom we call
    upstream/         the only code that opens provider connections
    dialects/         wire formats, no I/O
    telemetry/        meters, exposition, logs
    config/           YAML -> values with their place -> checked model
    _fast/            compiled; one door: `from gateway._fast import ...`

Imports go down only:

    __main__, server, explanation -> lanes -> wiring -> (endpoints | policies | routing | providers | upstream)
    -> pipeline -> (whole, relay, stream_reply, settlement) -> (dialects | telemetry)
    -> (building, carry_over, contracts, exchange, snapshot, conversation, errors, catalog, config, deadlines, roster,
    lease, client_address) -> _fast

The drawers do not import each other; the pipeline meets what is in them through `contracts` alone. A new
provider, strategy, policy, dialect or endpoint is one small file and one line in its drawer's `__init__`.
"""

__version__ = "0.1.0"
