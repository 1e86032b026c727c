"""An issuer of JWTs on a port of its own: real keys, real signatures, real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "iocmng"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_ALGORITHMS: dict[str, Any] = {
    "RS256": RSAAlgorithm,
    "PS256": RSAAlgorithm,
    "ES256": ECAlgorithm,
    "EdDSA": OKPAlgorithm,
}


def rsa_key() -> rsa.RSAPrivateKey:
    """Return a new key."""
    return rsa.generate_private_key(65537, 2048)


class Issuer:
    """Signs tokens, and answers with its keys.

    Attributes:
        keys: The keys by name, with their algorithm; what is served.
        asked: Paths that were asked for.
        down: Whether it answers 500.
        gate: An answer with keys waits for it.
        fetching: Set once somebody waits for the keys.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: dict[str, tuple[str, PrivateKey]] = {"first": ("RS256", rsa_key())}
        self.asked: list[str] = []
        self.down = False
        self.gate = threading.Event()
        self.gate.set()
        self.fetching = threading.Event()
        self.described_as = url

    def token(self, key: str = "first", signed_by: PrivateKey | None = None, **changes: Any) -> str:
        """Return a token that holds; `changes` are claims, None leaves one out."""
        algorithm, private = self.keys[key]
        return jwt.encode(self.claims(**changes), signed_by or private, algorithm, headers={"kid": key})

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return what a good token says."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "exp": now + 300,
            "iat": now,
            "sub": "0815",
            "preferred_username": "alice",
            "roles": ["beamline-admins"],
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def pem(self, key: str = "first") -> bytes:
        """Return a public key as everybody can have it."""
        return self.keys[key][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return what is served at a path."""
        self.asked.append(path)
        if self.down:
            return 500, {}
        if path == "/.well-known/openid-configuration":
            return 200, {"issuer": self.described_as, "jwks_uri": f"{self.url}/keys"}
        self.fetching.set()
        self.gate.wait(60)
        return 200, {"keys": [self._public(name, *key) for name, key in self.keys.items()]}

    @staticmethod
    def _public(name: str, algorithm: str, key: PrivateKey) -> dict[str, Any]:
        told = json.loads(_ALGORITHMS[algorithm].to_jwk(key.public_key()))
        return {**told, "kid": name, "alg": algorithm, "use": "sig"}


@contextmanager
def serving_keys() -> Iterator[Issuer]:
    """Run an issuer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, told = issuer.answer(self.path)
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield issuer
        finally:
            issuer.gate.set()
            server.shutdown()
            thread.join(30)
