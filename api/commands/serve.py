"""`swindex serve`: the HTTP service. The work is that of `service`, which needs the extra of that name."""

from pathlib import Path
from typing import Annotated

import typer

from .options import MissingExtraError, ReadIndex

_EXTRA = ("fastapi", "starlette", "uvicorn", "h11", "jinja2", "markupsafe", "altair", "vl_convert")


def serve(
    index: ReadIndex = None,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8750,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What answers call the index, in place of its directory's name."),
    ] = None,
    submissions: Annotated[
        Path | None,
        typer.Option("--submissions", metavar="FOLDER", help="Take submissions, and keep them in this folder."),
    ] = None,
    log_ip: Annotated[bool, typer.Option("--log-ip", help="Log the addresses of clients.")] = False,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--proxy",
            metavar="NETWORK",
            help="A proxy in front, whose X-Forwarded-For names the client; an address or a network, more than once.",
        ),
    ] = None,
) -> int:
    """Answer over HTTP what is known, read only, until stopped.

    With --submissions it also takes submissions from whoever has a token (`swindex token create`); it keeps them and
    reads no checkpoint: `swindex review` checks them.

    Serves an index or a release in a directory. What is appended to it, or released in its place, is served within
    seconds. The log, a JSON object a line, goes to standard error; see /openapi.json for the addresses."""
    try:
        from ..service.run import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        what = f"{error.name} is not installed"
        raise MissingExtraError(f"{what}; serving needs more: pip install 'swindex[serve]'") from None
    run(index, host, port, name=name, log_ip=log_ip, submissions=submissions, proxies=proxy or ())
    return 0
