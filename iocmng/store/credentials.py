"""Credentials, encrypted with a key that does not stand in the state.

A PAT or an ssh key is kept as a Fernet token (AES-128-CBC and HMAC-SHA256) of the JSON object
{"plugin": NAME, "pat": CREDENTIAL}; the name inside ties it
to its plugin, so that a token put into another plugin's row is refused. The key is, by its form,

- a Fernet key (44 characters, as `state.key` holds one and as Fernet.generate_key() makes it), used as it is, or
- any other text: a passphrase. scrypt (N=2^14, r=8, p=1) makes the key from it and from a salt in the state.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable

from cryptography.fernet import Fernet, InvalidToken

from iocmng.errors import StateUnavailable
from iocmng.settings import Settings
from iocmng.store.private_file import make_private_file

KEY_FILE = "state.key"

_SCRYPT_N = 2**14


class Cipher:
    """Encrypts and decrypts the credentials of plugins."""

    def __init__(self, key: bytes, salt: Callable[[], bytes]) -> None:
        """Make it from the key as it was given.

        Args:
            key: A Fernet key or a passphrase.
            salt: Returns the salt of the state; asked only for a passphrase.
        """
        self._fernet = _as_fernet(key) or Fernet(_derived(key, salt()))

    def encrypt(self, plugin: str, credential: str) -> str:
        """Return the ciphertext of a plugin's credential."""
        return self._fernet.encrypt(json.dumps({"plugin": plugin, "pat": credential}).encode()).decode()

    def decrypt(self, plugin: str, ciphertext: str) -> str:
        """Return a plugin's credential.

        Raises:
            StateUnavailable: If it was encrypted with another key or for another plugin, or is damaged.
        """
        try:
            data = json.loads(self._fernet.decrypt(ciphertext.encode("utf-8", "replace")))
        except InvalidToken:
            raise _undecipherable(plugin, "it was encrypted with another key, or is damaged") from None
        if data["plugin"] != plugin:
            raise _undecipherable(plugin, "what stands there belongs to another plugin")
        return data["pat"]


def read_key(settings: Settings) -> bytes:
    """Return the key that the settings give; make `state.key` where they give none and there is none.

    Raises:
        StateUnavailable: If a key file cannot be read or made, or is empty.
    """
    if settings.state_key is not None:
        return settings.state_key.get_secret_value().encode("utf-8", "surrogateescape")
    file = settings.state_key_file or settings.state / KEY_FILE
    try:
        if settings.state_key_file is None and not file.exists():
            make_private_file(file, Fernet.generate_key() + b"\n")
        key = file.read_bytes().strip()
    except OSError as error:
        raise StateUnavailable(
            f"the key of the credentials in {file} cannot be read or made: {error.strerror}. See that this user may "
            "read it and that its disk has room, or give the key in IOCMNG_STATE_KEY or another file in "
            "IOCMNG_STATE_KEY_FILE"
        ) from error
    if not key:
        raise StateUnavailable(
            f"the key file {file} is empty. Restore it; if it is lost, remove it and give the plugins their `pat` or "
            "`ssh_key` again"
        )
    return key


def _as_fernet(key: bytes) -> Fernet | None:
    """Return the cipher of a Fernet key, or None where it is none."""
    try:
        return Fernet(key) if len(key) == 44 else None
    except ValueError:
        return None


def _derived(passphrase: bytes, salt: bytes) -> bytes:
    return base64.urlsafe_b64encode(hashlib.scrypt(passphrase, salt=salt, n=_SCRYPT_N, r=8, p=1, dklen=32))


def _undecipherable(plugin: str, why: str) -> StateUnavailable:
    return StateUnavailable(
        f"the credential of plugin {plugin} cannot be decrypted: {why}. Give the server the key it had "
        "(IOCMNG_STATE_KEY, IOCMNG_STATE_KEY_FILE), or give the plugin a new one: "
        f'PATCH /plugins/{plugin} with {{"pat": "..."}}'
    )
