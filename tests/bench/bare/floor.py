"""The floor: HTTP in, one sync of a file, HTTP out. No page can be quicker on this machine and yet be on a disk before."""

import argparse
import os
import uuid

import orjson
import uvloop

from tests.bench.bare.provider import Provider, code_of, connections
from tests.bench.bare.serving import serve


async def run(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    file = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    async with connections() as session:
        provider = Provider(session, options.provider, options.account_sid, options.auth_token_file, options.to, "")

        async def handle(method: str, path: str, body: bytes) -> tuple[int, bytes]:
            if method == "GET":
                return 200, b"{}"
            flag_id = str(uuid.uuid4())
            os.write(file, body)
            # In the loop on purpose: a thread would cost more than the disk.
            os.fdatasync(file)
            await provider.text(flag_id)
            return 201, orjson.dumps({"flag": {"flag_id": flag_id}, "code": code_of(flag_id)})

        await serve(handle, options.port)
    os.close(file)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bare.floor")
    for name in ("provider", "account-sid", "auth-token-file", "to", "file"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
