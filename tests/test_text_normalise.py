"""Numbers, dates, times, money, units and abbreviations as they are spoken in each language."""

from __future__ import annotations

import random

import pytest

from gansynth_cli.data.text import numbers
from gansynth_cli.data.text.clean import clean
from gansynth_cli.data.text.languages import TABLES, language_for
from gansynth_cli.data.text.normalise import Normaliser
from gansynth_cli.data.text.report import TextReport
from gansynth_cli.data.text.tokens import Given, Sentence, Token


def spoken(text: str, language: str) -> str:
    tokens = Normaliser(language, TextReport())(Sentence((clean(text),)))
    return " ".join(token.spoken + token.mark for token in tokens)


NORMALISED = [
    ("en-us", "It cost $1,234.56.", "It cost one thousand two hundred and thirty-four dollars and fifty-six cents."),
    ("en-us", "£0.99, €5, $3.2 million", "ninety-nine pence, five euros, three point two million dollars"),
    ("en-us", "on 11/30/2026 or 2026-11-30", "on November thirtieth twenty twenty-six or November thirtieth twenty twenty-six"),
    ("en-gb", "on 30/11/2026", "on the thirtieth of November twenty twenty-six"),
    ("en-us", "the 30th of June, May 5, 2020", "the thirtieth of June, May fifth twenty twenty"),
    ("en-us", "at 2:30 pm, 9:05, 14:00, 8:00", "at two thirty P.M, nine oh five, fourteen hundred, eight o'clock"),
    (
        "en-us",
        "in 1998 some 1500 cats; the 1990s (1914-1918)",
        "in nineteen ninety-eight some one thousand five hundred cats; the nineteen nineties, nineteen fourteen to nineteen eighteen,",
    ),
    (
        "en-us",
        "3.14, -5 °C, 50%, 21st, 007",
        "three point one four, minus five degrees Celsius, fifty percent, twenty-first, zero zero seven",
    ),
    ("en-us", "1 1/2 cups, ½ mile, 10-20 km, 1 kg", "one and one half cups, one half mile, ten to twenty kilometres, one kilogram"),
    ("en-us", "call +1 555 123", "call plus one, five five five, one two three"),
    ("en-us", "v. 2.10.1; www.example.com/a; a_b@c.org", "v. two point ten point one; example dot com slash a; a b at c dot org"),
    ("en-us", "Dr. No, e.g. Chapter IV, No. 5, etc.", "Doctor No, for example Chapter four, number five, et cetera."),
    ("en-us", "B2B & COVID-19 #tag #1 **x** a/b", "B two B and COVID nineteen hashtag tag number one x a b"),
    ("en-us", "St. Mary on Main St. now", "Saint Mary on Main Street now"),
    ("en-us", 'what?! (yes) "no" - ok -- so… 1,2,3', "what? yes, no— ok— so… one, two, three"),
    (
        "de",
        "Am 3. Mai 2024 um 14:30 Uhr: 1.234,56 €.",
        "Am dritten Mai zweitausendvierundzwanzig um vierzehn Uhr dreißig: eintausendzweihundertvierunddreißig Euro sechsundfünfzig Cent.",
    ),
    ("de", "der 2. Weltkrieg, ein 3. Versuch, Nr. 5", "der zweite Weltkrieg, ein dritter Versuch, Nummer fünf"),
    (
        "de",
        "1 km, 1 Million Euro, 3,5 %, bzw. 3.14",
        "ein Kilometer, eine Million Euro, drei Komma fünf Prozent, beziehungsweise drei Punkt eins vier",
    ),
    ("de", "Im Jahr 1998 kamen 1500 Leute", "Im Jahr neunzehnhundertachtundneunzig kamen eintausendfünfhundert Leute"),
    (
        "es",
        "El 1.º, la 2ª, 21 kg, 3,14 y 5 millones €",
        "El primero, la segunda, veintiún kilogramos, tres coma catorce y cinco millones de euros",
    ),
    (
        "es",
        "30/11/2026 a la 1:15, siglo XX, Sr. Gil",
        "treinta de noviembre de dos mil veintiséis a la una y quince, siglo veinte, señor Gil",
    ),
    (
        "fr",
        "Le 1er mai à 14h30, 1 234,56 € et la 2e.",
        "Le premier mai à quatorze heures trente, mille deux cent trente-quatre euros cinquante-six centimes et la deuxième.",
    ),
    (
        "fr",
        "au XXe siècle, 1h, 21 heures, n° 5, 5 millions €",
        "au vingtième siècle, une heure, vingt et une heures, numéro cinq, cinq millions d'euros",
    ),
    (
        "it",
        "il 1° e la 2ª, 1 km, 1.234,56 €, ecc.",
        "il primo e la seconda, un chilometro, milleduecentotrentaquattro euro e cinquantasei centesimi, eccetera.",
    ),
    ("it", "alle 14:30 il 30/11/2026", "alle quattordici e trenta il trenta novembre duemilaventisei"),
    (
        "pt-br",
        "R$ 1.234,56 às 2:15, 2 horas, a 1ª",
        "mil duzentos e trinta e quatro reais e cinquenta e seis centavos às duas e quinze, duas horas, a primeira",
    ),
    ("pt", "30/11/2026, século XX, 3,14", "trinta de novembro de dois mil e vinte e seis, século vinte, três vírgula catorze"),
    (
        "nl",
        "De 1e op 30-11-2026 om 14.30 uur, bijv. 1 kg",
        "De eerste op dertig november tweeduizendzesentwintig om veertien uur dertig, bijvoorbeeld een kilogram",
    ),
    ("nl", "€ 5, 3,5 km, in 1998 enz.", "vijf euro, drie komma vijf kilometer, in negentien honderd achtennegentig enzovoort."),
    ("pl", "Mam 3,5 km & 1998", "Mam 3,5 km & 1998"),
]


@pytest.mark.parametrize(("language", "text", "expected"), NORMALISED)
def test_numbers_dates_money_and_abbreviations_are_spelt(language: str, text: str, expected: str) -> None:
    pytest.importorskip("num2words", reason="num2words (extra speech) spells numbers")
    assert spoken(text, language) == expected


def test_every_language_has_a_test_and_spells_its_own_months_and_units() -> None:
    assert {language.split("-")[0] for language, _, _ in NORMALISED} >= set(TABLES)
    for code in TABLES:
        table = language_for(code)
        assert len(table.months) == 12
        assert {"km", "kg", "%", "°C", "h"} <= set(table.units)
        assert {"minus", "plus", "point", "to", "at", "dot", "slash"} <= set(table.words)
        assert {"€", "$", "£"} <= set(table.currencies)


def test_without_num2words_digits_are_left_to_the_phonemiser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "_num2words", lambda: None)
    report = TextReport()
    tokens = Normaliser("en-us", report)(Sentence(("It cost $1,234.50 on May 5, 3.14 °C.",)))
    assert " ".join(token.spoken for token in tokens) == "It cost 1234 dollars and 50 cents on May 5 3.14 degrees Celsius"
    assert numbers.NO_NUM2WORDS in report.lines()


@pytest.mark.parametrize("language", [*TABLES, "pl", "ja"])
def test_no_text_breaks_the_normaliser(language: str) -> None:
    rng = random.Random(2)
    alphabet = list("0123456789.,:;-–—/+%°€$£¥#@&()'\" \u00a0aAzZhmIVXSt²½№º") + ["Nr.", "km", "1:", "5 ", "Mai ", "h30", "000", "1/2"]
    reader = Normaliser(language, TextReport())
    for _ in range(1500):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 40)))
        for token in reader(Sentence((clean(text),))):
            assert not set(token.spoken) & set('"()[]<>;:?!…'), (text, token)


def test_given_readings_replace_what_is_written() -> None:
    reader = Normaliser("en-us", TextReport())
    parts = ("The ", Given("W3C", alias="web group"), ", ", Given("abc", alias="abc", kind="spell"), " ", Given("x", phones="ɛks"), ".")
    tokens = reader(Sentence(parts))
    assert tokens == [
        Token("The", "The"),
        Token("W3C", "web group", ","),
        Token("abc", "A.B.C"),
        Token("x", "", ".", "ɛks"),
    ]
