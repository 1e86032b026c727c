"""The Python client: `from iocmng.client import Client, AsyncClient`.

    with Client("http://ioc-server:8080", token="...") as server:
        server.add("pump", git_url="https://git.example.org/lab/pump.git")
        run = server.run_job("scan", {"steps": 10})
        print(run["result"]["data"])

Errors are those of `iocmng.errors`. The types of what is returned are in `iocmng.client.objects`.
"""

from iocmng.client.async_client import AsyncClient
from iocmng.client.sync_client import Client

__all__ = ["AsyncClient", "Client"]
