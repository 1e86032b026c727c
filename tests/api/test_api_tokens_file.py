"""The file of tokens while the server runs, and what happens to wrong tokens."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from pathlib import Path

import pytest
from api_fakes import FakeController, Serving
from tokens import bearing, entry, write_tokens

from iocmng.api.failed_tries import BY_ADDRESS, IN_TOTAL, MOST_ADDRESSES, PERIOD, FailedTries
from iocmng.api.guard import Guard, access_warnings, check_access
from iocmng.api.token_book import LOOK_AGAIN, TokenBook, read_tokens_file
from iocmng.core.access import ANONYMOUS, Principal, Role
from iocmng.core.tokens_file import HashedToken
from iocmng.errors import InvalidRequest, TooManyTries, Unauthorized
from iocmng.settings import Settings

ADMIN = Principal("a", Role.ADMIN)


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A time that stands still."""
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with the token `first` of an admin."""
    return write_tokens(tmp_path / "tokens.yaml", entry("a", Role.ADMIN, "first"))


@pytest.fixture
def book(file: Path, clock: Clock) -> TokenBook:
    """A book of this file."""
    return TokenBook(None, file, clock)


def test_a_changed_file_is_read_again(book: TokenBook, file: Path, clock: Clock) -> None:
    """A token that was added is taken, one that was taken out is not; at the next look, a second later."""
    assert book.find(b"first") == ADMIN
    write_tokens(file, entry("b", Role.VIEWER, "second"))
    assert book.find(b"second") is None
    clock.now += LOOK_AGAIN
    assert book.find(b"second") == Principal("b", Role.VIEWER)
    assert book.find(b"first") is None


def test_a_file_that_is_overwritten_in_place_is_read_again(book: TokenBook, file: Path, clock: Clock) -> None:
    """Not only an exchanged one: editors and `>>` write into the file that is there."""
    with file.open("a") as stream:
        stream.write(entry("b", Role.VIEWER, "second"))
    clock.now += LOOK_AGAIN
    assert book.find(b"second") == Principal("b", Role.VIEWER)


def test_a_mounted_secret_is_read_again(tmp_path: Path, clock: Clock) -> None:
    """Kubernetes exchanges a link to a directory; the file's path stays the same."""
    for name, token in (("one", "first"), ("two", "second")):
        (tmp_path / name).mkdir()
        write_tokens(tmp_path / name / "tokens.yaml", entry("a", Role.ADMIN, token))
    (tmp_path / "now").symlink_to("one")
    book = TokenBook(None, tmp_path / "now" / "tokens.yaml", clock)
    assert book.find(b"first") == ADMIN
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "now")
    clock.now += LOOK_AGAIN
    assert book.find(b"second") == ADMIN


@pytest.mark.parametrize("content", ["tokens: [{name: a, role: boss}]", "tokens:\n- {", "\0", None])
def test_a_broken_file_leaves_the_old_tokens(
    book: TokenBook, file: Path, clock: Clock, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    """A slip of the editor locks nobody out; the log tells of it once, and the next good file counts."""
    file.unlink()
    if content is not None:
        file.write_text(content)
        file.chmod(0o600)
    with caplog.at_level(logging.WARNING, "iocmng"):
        for _ in range(3):
            clock.now += LOOK_AGAIN
            assert book.find(b"first") == ADMIN
    assert len(caplog.records) == 1
    assert str(file) in caplog.text
    assert "still taken" in caplog.text
    write_tokens(file, entry("b", Role.ADMIN, "second"))
    clock.now += LOOK_AGAIN
    assert book.find(b"first") is None


def test_an_empty_list_takes_all_tokens_away(book: TokenBook, file: Path, clock: Clock) -> None:
    """That is how somebody shuts everybody out, on purpose."""
    write_tokens(file)
    clock.now += LOOK_AGAIN
    assert book.find(b"first") is None


def test_a_broken_file_at_the_start_is_an_error(tmp_path: Path) -> None:
    """A server that would take nobody's token, or an old one's, does not start."""
    with pytest.raises(InvalidRequest, match="no-such-file"):
        Guard(Settings(tokens_file=tmp_path / "no-such-file"))
    (tmp_path / "directory").mkdir()
    with pytest.raises(InvalidRequest, match="directory"):
        check_access(Settings(tokens_file=tmp_path / "directory"))


def test_a_file_that_is_open_to_all_is_warned_of(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Hashes are not tokens, but whoever reads the file sees who may do what; who writes it, decides."""
    read_tokens_file(file)
    assert not caplog.records
    for mode in (0o604, 0o602):
        caplog.clear()
        file.chmod(mode)
        read_tokens_file(file)
        assert "chmod o-rw" in caplog.text


def test_an_expired_token_is_told_so(tmp_path: Path) -> None:
    """Its owner learns why; it counts as nobody's failed try."""
    file = write_tokens(tmp_path / "f", entry("a", Role.ADMIN, "old", expires="2020-01-01"))
    with pytest.raises(Unauthorized, match="'a' has expired"):
        TokenBook(None, file).find(b"old")


def test_the_one_token_is_taken_beside_those_of_the_file(file: Path) -> None:
    """IOCMNG_TOKEN stays an admin's token, whatever the file holds."""
    book = TokenBook(HashedToken.of("own µ"), file)
    assert book.find("own µ".encode()) == Principal("token", Role.ADMIN)
    assert book.find(b"first") == ADMIN
    assert book.find(b"") is None


def test_all_entries_are_compared(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No early end: the time of an answer does not tell at which entry a token was found."""
    write_tokens(file, *(entry(f"n{number}", Role.VIEWER, f"t{number}") for number in range(5)))
    book, compared = TokenBook(HashedToken.of("own"), file), []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for token in (b"own", b"t0", b"t4", b"none"):
        compared.clear()
        book.find(token)
        assert compared == [(32, 32)] * 6


# --- failed tries


def test_after_ten_wrong_tokens_an_address_is_told_to_wait(clock: Clock) -> None:
    """Ten are answered as such; then 429 with the seconds until the first of them no longer counts."""
    tries = FailedTries(clock)
    for _ in range(BY_ADDRESS):
        tries.note("one")
        clock.now += 1
    for _ in range(3):
        with pytest.raises(TooManyTries) as caught:
            tries.note("one")
        assert caught.value.retry_after == PERIOD - BY_ADDRESS
    tries.note("another")
    clock.now += caught.value.retry_after
    tries.note("one")


def test_all_addresses_together_are_limited_too(clock: Clock) -> None:
    """Somebody who has many addresses is told to wait as well."""
    tries = FailedTries(clock)
    for number in range(IN_TOTAL):
        tries.note(f"address {number}")
    with pytest.raises(TooManyTries):
        tries.note("one more")


def test_few_addresses_are_remembered(clock: Clock) -> None:
    """Memory has a limit, whoever calls."""
    tries = FailedTries(clock)
    for number in range(3 * MOST_ADDRESSES):
        clock.now += 2 * PERIOD / IN_TOTAL
        tries.note(f"address {number}")
    assert len(tries._by_address) == MOST_ADDRESSES


async def test_wrong_tokens_get_429_and_a_right_one_is_let_in(
    serving: Serving, controller: FakeController, file: Path
) -> None:
    """Nobody can lock an operator out, not even from the same address; other addresses are no way round by a header."""
    async with serving(controller, tokens_file=file) as client:
        answers = [
            await client.delete("/plugins/none", headers={**bearing("wrong"), "X-Forwarded-For": f"10.0.0.{number}"})
            for number in range(BY_ADDRESS + 2)
        ]
        assert [answer.status_code for answer in answers] == [401] * BY_ADDRESS + [429] * 2
        assert 0 < int(answers[-1].headers["retry-after"]) <= PERIOD
        assert answers[-1].json()["type"] == "urn:iocmng:problem:too-many-tries"
        assert (await client.delete("/plugins/none", headers=bearing("first"))).status_code == 404
        assert (await client.delete("/plugins/none")).status_code == 401  # without a credential nothing is tried
        assert controller.calls == [("remove", "none", None)]


async def test_a_missing_token_is_no_failed_try(serving: Serving, controller: FakeController, file: Path) -> None:
    """A dashboard that has no token may ask as often as it likes; nor are other schemes tries."""
    async with serving(controller, tokens_file=file, read_token_required=True) as client:
        for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Basic x"}) * BY_ADDRESS:
            assert (await client.get("/plugins", headers=headers)).status_code == 401
        assert (await client.get("/plugins", headers=bearing("wrong"))).status_code == 401


async def test_a_wrong_token_at_a_closed_read_counts_once(
    serving: Serving, controller: FakeController, file: Path
) -> None:
    """Reads and changes count together."""
    async with serving(controller, tokens_file=file, read_token_required=True) as client:
        for _ in range(BY_ADDRESS):
            assert (await client.get("/plugins", headers=bearing("wrong"))).status_code == 401
        assert (await client.get("/plugins", headers=bearing("wrong"))).status_code == 429
        assert (await client.get("/plugins", headers=bearing("first"))).status_code == 200


async def test_no_log_and_no_answer_holds_a_token(
    serving: Serving, controller: FakeController, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Right and wrong ones, and their hashes, stand nowhere."""
    digest = hashlib.sha256(b"first").hexdigest()
    with caplog.at_level(logging.DEBUG):
        async with serving(controller, tokens_file=file) as client:
            texts = []
            for token in ["a-wrong-one"] * (BY_ADDRESS + 1) + ["first"]:
                answer = await client.delete("/plugins/none", headers=bearing(token))
                texts.append(answer.text + str(answer.headers))
    for secret in (digest, "a-wrong-one", "'first'", "Bearer first"):
        assert secret not in caplog.text
        assert not any(secret in text for text in texts)


# --- what the log says at the start


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, None),
        ({"token": "a long one, chosen at random"}, None),
        ({"token": "short"}, "could be guessed"),
        ({"host": "0.0.0.0"}, "refuses changes"),
        ({"allow_unauthenticated": True}, "IOCMNG_ALLOW_UNAUTHENTICATED"),
        ({"allow_unauthenticated": True, "token": "a long one, chosen at random"}, None),
    ],
)
async def test_the_log_tells_who_may_call(
    serving: Serving, controller: FakeController, caplog: pytest.LogCaptureFixture, given: dict[str, object], words: str
) -> None:
    """An open door is no secret to those who look after the server."""
    async with serving(controller, **given):
        pass
    said = [record.getMessage() for record in caplog.records if record.name == "iocmng.api.app"]
    assert said == access_warnings(Settings(**given))
    assert bool(said) == (words is not None)
    assert words is None or words in said[0]


async def test_who_calls_a_server_that_asks_nobody() -> None:
    """On loopback without tokens everybody is the same admin."""
    assert await Guard(Settings()).who(None, "-") == ANONYMOUS
    assert await Guard(Settings()).who("anything", "-") == ANONYMOUS
    in_cluster = Settings.model_construct(host="127.0.0.1")  # as --cluster does, whatever stands in the environment
    assert await Guard(in_cluster).who(None, "-") == ANONYMOUS


def test_the_file_may_belong_to_somebody_else(file: Path) -> None:
    """A server without the right to read it says so."""
    if os.geteuid() == 0:
        pytest.skip("root can read every file")
    file.chmod(0)
    with pytest.raises(InvalidRequest, match="Permission denied"):
        read_tokens_file(file)
