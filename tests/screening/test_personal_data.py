"""Personal data that has a form is found and masked; what only looks like it is left alone."""

from itertools import pairwise

import pytest

from feedback.rules.screening.personal_data import Personal, find, mask


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("Write to rosa.b+news@mail.example.org, please.", "email", "rosa.b+news@mail.example.org"),
        ("Pay to DE89 3704 0044 0532 0130 00 today", "iban", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
        ("Card 4111 1111 1111 1111, thanks", "card", "4111 1111 1111 1111"),
        ("5500-0000-0000-0004", "card", "5500-0000-0000-0004"),
        ("SSN 536-22-1234.", "national_id", "536-22-1234"),
        ("NI number AB 12 34 56 C", "national_id", "AB 12 34 56 C"),
        ("CF RSSMRA85T10A562S", "national_id", "RSSMRA85T10A562S"),
        ("DNI 12345678Z", "national_id", "12345678Z"),
        ("NIR 2 69 05 49 588 157 80", "national_id", "2 69 05 49 588 157 80"),
        ("from 192.168.17.4.", "ip", "192.168.17.4"),
        ("at 2001:db8::ff00:42:8329", "ip", "2001:db8::ff00:42:8329"),
        ("call +49 30 901820 now", "phone", "+49 30 901820"),
        ("call (415) 555-2671", "phone", "(415) 555-2671"),
        ("call 415-555-2671", "phone", "415-555-2671"),
        ("ring 030/901820-0", "phone", "030/901820-0"),
    ],
)
def test_it_is_found(text: str, kind: str, said: str) -> None:
    start = text.index(said)
    assert find(text) == [Personal(start, start + len(said), kind)]


@pytest.mark.parametrize(
    "text",
    [
        "Card 4111 1111 1111 1112",  # Luhn says no
        "DE88 3704 0044 0532 0130 00x",  # mod 97 says no
        "on 2024-03-17, or 17.03.2024",
        "version 300.1.2.3 and 1.2.3",
        "the sum is 12,345,678.90 or 12345678",
        "DNI 12345678A",
        "at 12:30:45 and 127.0.0.1",
        "@rosa said a@b",
        "1,000,000 people in 1984 and 2001",
        "",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert find(text) == []
    assert mask(text) == (text, [])


def test_masking_says_what_stood_there_and_counts_in_characters() -> None:
    text = "Zoë 😀: zoe@example.com or +44 20 7946 0958."
    masked, found = mask(text)
    assert masked == "Zoë 😀: [email] or [phone]."
    assert [text[one.start : one.end] for one in found] == ["zoe@example.com", "+44 20 7946 0958"]
    assert mask(masked) == (masked, [])


def test_only_the_kinds_that_were_asked_for() -> None:
    assert mask("a@example.com from 10.1.2.3", kinds=["ip"])[0] == "a@example.com from [ip]"


@pytest.mark.parametrize("piece", ["1 ", "(1)", "a.a@", "1-", "A1", ":a", "1.", "a@a-", "a@example.com 10.1.2.3 "])
def test_findings_of_a_long_and_hostile_text_stand_apart(piece: str) -> None:
    found = find(piece * 20_000)
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert (len(found) == 40_000) == ("example" in piece)
