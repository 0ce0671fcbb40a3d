"""Authorities and certificates that are made of seeded randomness are the same ones, and real ones."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509

from navarch.base.certificate import read_pem
from navarch.base.clock import Ids, SeededIds, SystemClock, SystemIds
from navarch.base.mint import Mint
from navarch.base.pki import ORDER, Pair, load_key, matches, new_key

CLOCK = SystemClock()


class Least(SystemIds):
    def secret(self, length_bytes: int = 32) -> bytes:
        return bytes(length_bytes)


class Most(SystemIds):
    def secret(self, length_bytes: int = 32) -> bytes:
        return b"\xff" * length_bytes


@pytest.mark.parametrize("ids", [Least(), Most(), SystemIds()])
def test_every_randomness_makes_a_key(ids: Ids) -> None:
    assert 1 <= load_key(new_key(ids)).private_numbers().private_value < ORDER


def test_equal_seeds_make_equal_keys_and_others_others() -> None:
    def key(seed: int) -> bytes:
        return Mint(CLOCK, SeededIds(seed)).authority("test").key

    assert key(1) == key(1) != key(2)


def test_a_certificate_is_its_authoritys_and_ends_with_it() -> None:
    mint = Mint(CLOCK, SystemIds())
    authority, other = mint.authority("test"), mint.authority("test")
    long = "a." * 40 + "example"
    made = mint.server(authority, [long, "192.0.2.1"], timedelta(days=36500))
    assert matches(made)
    assert read_pem(made.certificate).hosts == {long, "192.0.2.1"}
    assert read_pem(made.certificate).not_after <= read_pem(authority.certificate).not_after
    assert read_pem(made.certificate).common_name == "192.0.2.1", "a common name has 64 characters at most"
    leaf, above = (x509.load_pem_x509_certificate(each.certificate) for each in (made, authority))
    leaf.verify_directly_issued_by(above)
    with pytest.raises(ValueError, match="subject"):
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(other.certificate))


def test_what_is_no_authority_signs_nothing() -> None:
    with pytest.raises(ValueError):
        Mint(CLOCK, SystemIds()).server(Pair(b"nonsense", b"nonsense"), ["a.example"], timedelta(days=1))
