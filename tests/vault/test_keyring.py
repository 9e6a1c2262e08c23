"""The key ring: what it refuses to read, and what does not open."""

from __future__ import annotations

import base64
import hashlib
import secrets
import traceback

import pytest
from django.core.exceptions import ImproperlyConfigured

from registry.vault import keyring as vault
from registry.vault.keyring import VARIABLE, DecryptError, KeyRing, keyring, new_key

DATA = b"table column row"


def encoded(size: int) -> str:
    return base64.b64encode(secrets.token_bytes(size)).decode()


MALFORMED = {
    "a word": "changeme-changeme",
    "15 bytes": encoded(15),
    "16 bytes": encoded(16),
    "24 bytes": encoded(24),
    "31 bytes": encoded(31),
    "33 bytes": encoded(33),
    "hexadecimal of 32 bytes": secrets.token_hex(32),
    "hexadecimal of 63 digits": secrets.token_hex(32)[:63],
    "cut padding": encoded(32).rstrip("="),
    "in quotes": f'"{encoded(32)}"',
    "white space inside": f"{encoded(32)[:20]} {encoded(32)[20:]}",
    "letters that are no ASCII": "ключ" * 11,
    "seven different bytes": base64.b64encode(bytes(at % 7 for at in range(32))).decode(),
    "one byte over and over": base64.b64encode(b"k" * 32).decode(),
    "an id alone": "main:",
    "an id with a space": f"my key:{new_key()}",
    "an id too long": f"{'i' * 33}:{new_key()}",
    "an empty id": f":{new_key()}",
}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("position", [1, 3])
def test_a_malformed_key_is_named_by_variable_and_position_and_never_shown(value: str, position: int) -> None:
    entries = [new_key() for _ in range(position - 1)] + [value]
    with pytest.raises(ImproperlyConfigured) as caught:
        KeyRing.parse(",".join(entries))
    told = "".join(traceback.format_exception(caught.value))
    assert VARIABLE in str(caught.value)
    assert f"key {position} " in str(caught.value)
    secret = value.rpartition(":")[2]
    assert not secret or secret not in told
    assert not any(entry in told for entry in entries if len(entry) > 5)


@pytest.mark.parametrize("value", [" ", ",", "\n,\n"])
def test_a_ring_without_any_key_is_refused(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"{VARIABLE} is empty"):
        KeyRing.parse(value)


def test_a_ring_that_is_not_set_is_refused(settings) -> None:  # type: ignore[no-untyped-def]  # pytest-django's fixture has no type
    settings.LLMHUB_ENCRYPTION_KEYS = ""
    with pytest.raises(ImproperlyConfigured, match=f"{VARIABLE} is not set"):
        keyring()


@pytest.mark.parametrize("ring", ["a:{0},a:{1}", "{0},{0}"])
def test_two_keys_of_one_id_are_refused(ring: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="key 2 has the same id"):
        KeyRing.parse(ring.format(new_key(), new_key()))


def test_keys_may_stand_on_lines_and_use_the_url_alphabet() -> None:
    raw = b"\xfb\xff" * 4 + secrets.token_bytes(24)
    plain, url_safe = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()
    assert plain != url_safe
    envelope = KeyRing.parse(f"k:{plain}").encrypt("x", additional_data=DATA)
    assert KeyRing.parse(f"\n new:{new_key()} \r\n k:{url_safe}\n").decrypt(envelope, additional_data=DATA) == "x"


def test_an_old_key_still_opens_and_the_first_encrypts() -> None:
    old, new = f"old:{new_key()}", f"new:{new_key()}"
    before = KeyRing.parse(old).encrypt("sk-planted", additional_data=DATA)
    ring = KeyRing.parse(f"{new},{old}")
    assert ring.decrypt(before, additional_data=DATA) == "sk-planted"
    after = ring.encrypt("sk-planted", additional_data=DATA)
    assert (ring.is_current(before), ring.is_current(after)) == (False, True)
    assert KeyRing.parse(new).decrypt(after, additional_data=DATA) == "sk-planted"
    with pytest.raises(DecryptError):
        KeyRing.parse(new).decrypt(before, additional_data=DATA)


def test_another_key_of_the_same_id_opens_nothing() -> None:
    envelope = KeyRing.parse(f"k:{new_key()}").encrypt("x", additional_data=DATA)
    with pytest.raises(DecryptError):
        KeyRing.parse(f"k:{new_key()}").decrypt(envelope, additional_data=DATA)


def test_other_additional_data_opens_nothing() -> None:
    ring = KeyRing.parse(new_key())
    envelope = ring.encrypt("x", additional_data=DATA)
    for other in (b"", DATA[:-1], DATA + b"\0"):
        with pytest.raises(DecryptError):
            ring.decrypt(envelope, additional_data=other)


def test_no_flipped_bit_is_accepted() -> None:
    ring = KeyRing.parse(f"k:{new_key()}")
    envelope = ring.encrypt("sk-planted-0123", additional_data=DATA)
    head, _, body = envelope.rpartition(":")
    raw = base64.urlsafe_b64decode(body)
    for bit in range(len(raw) * 8):
        altered = bytearray(raw)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecryptError):
            ring.decrypt(f"{head}:{base64.urlsafe_b64encode(altered).decode()}", additional_data=DATA)


def test_no_cut_or_longer_envelope_is_accepted() -> None:
    ring = KeyRing.parse(f"k:{new_key()}")
    envelope = ring.encrypt("sk-planted-0123", additional_data=DATA)
    head, _, body = envelope.rpartition(":")
    raw = base64.urlsafe_b64decode(body)
    others = [f"{head}:{base64.urlsafe_b64encode(raw[:size]).decode()}" for size in range(len(raw))]
    others += [envelope[:size] for size in range(len(envelope))]
    others += [f"{head}:{base64.urlsafe_b64encode(raw + b'0').decode()}", envelope.replace("llmhub1", "llmhub2")]
    others += [f"{head}:é", f"{head}:{body[:-4]}\n{body[-4:]}", f"llmhub1:gone:{body}"]
    for other in others:
        with pytest.raises(DecryptError):
            ring.decrypt(other, additional_data=DATA)


def test_one_text_twice_gives_two_envelopes() -> None:
    ring = KeyRing.parse(new_key())
    assert len({ring.encrypt("x", additional_data=DATA) for _ in range(500)}) == 500


def test_what_does_not_open_is_not_repeated_in_the_error() -> None:
    ring = KeyRing.parse(f"k:{new_key()}")
    envelope = ring.encrypt("sk-planted-0123", additional_data=DATA)
    with pytest.raises(DecryptError) as caught:
        ring.decrypt(envelope, additional_data=b"other")
    assert envelope.rpartition(":")[2] not in "".join(traceback.format_exception(caught.value))


def test_the_repr_holds_ids_alone() -> None:
    key = new_key()
    ring = KeyRing.parse(f"main:{key}")
    assert repr(ring) == "KeyRing(main)"
    assert key not in str(vars(ring))


def test_a_new_key_is_a_ring_by_itself() -> None:
    assert KeyRing.parse(new_key()).primary_id
    assert len({vault.new_key() for _ in range(50)}) == 50


def test_eight_different_bytes_are_as_few_as_a_key_may_have() -> None:
    KeyRing.parse(base64.b64encode(bytes(at % 8 for at in range(32))).decode())


def test_a_key_without_a_name_is_called_by_eight_letters_of_its_digest() -> None:
    key = new_key()
    envelope = KeyRing.parse(key).encrypt("x", additional_data=DATA)
    assert envelope.split(":")[1] == hashlib.sha256(base64.b64decode(key)).hexdigest()[:8]
