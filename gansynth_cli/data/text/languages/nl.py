"""Dutch."""

from . import Language, currencies, nouns, pairs, word_set

LANGUAGE = Language(
    numbers="nl",
    decimal=",",
    groups=".",
    before_noun=((r"^één$", "een"),),
    before_feminine=((r"^één$", "een"),),
    year_words=word_set(
        "in jaar sinds van tot rond voor na zomer winter herfst lente begin eind "
        "januari februari maart april mei juni juli augustus september oktober november december"
    ),
    ordinal=r"(?:s?te|de|e)\b",
    months=(
        "januari|jan",
        "februari|feb",
        "maart|mrt",
        "april|apr",
        "mei",
        "juni|jun",
        "juli|jul",
        "augustus|aug",
        "september|sep|sept",
        "oktober|okt",
        "november|nov",
        "december|dec",
    ),
    date="{day} {month} {year}",
    hour="{h} uur",
    hour_minutes="{h} uur {m}",
    hour_mark=r"\s?(?:uur|u)\b",
    and_minor="en",
    currencies=currencies("""
        €, EUR: euro / cent
        $, US$, USD: dollar / cent
        £, GBP: pond / penny, pence
        ¥, JPY: yen
        CHF: Zwitserse frank / centime
        ¢: cent
    """),
    scales=pairs("""
        duizend = duizend
        miljoen = miljoen
        miljard = miljard
        mln. = miljoen
        mld. = miljard
        mln = miljoen
        mld = miljard
    """),
    units=nouns("""
        km: kilometer
        m: meter
        cm: centimeter
        mm: millimeter
        km², km2: vierkante kilometer
        m², m2: vierkante meter
        cm²: vierkante centimeter
        m³, m3: kubieke meter
        ha: hectare
        kg: kilogram
        g: gram
        mg: milligram
        t: ton
        l, L: liter
        ml: milliliter
        h: uur
        min: minuut, minuten
        s, sec: seconde, seconden
        ms: milliseconde, milliseconden
        km/h, km/u: kilometer per uur
        m/s: meter per seconde
        °C: graad Celsius, graden Celsius
        °F: graad Fahrenheit, graden Fahrenheit
        °: graad, graden
        %: procent
        ‰: promille
        W: watt
        kW: kilowatt
        kWh: kilowattuur
        V: volt
        A: ampère
        Hz: hertz
        kHz: kilohertz
        MHz: megahertz
        GHz: gigahertz
        dB: decibel
        kB, KB: kilobyte
        MB: megabyte
        GB: gigabyte
        TB: terabyte
        kcal: kilocalorie, kilocalorieën
    """),
    symbols=pairs("""
        & = en
        @ = apenstaartje
        % = procent
        + = plus
        × = keer
        ÷ = gedeeld door
        ± = plus of min
        < = kleiner dan
        > = groter dan
        ≤ = hoogstens
        ≥ = minstens
        ≈ = ongeveer
        ≠ = ongelijk aan
        # = nummer
        № = nummer
        § = paragraaf
        ° = graden
        $ = dollar
        € = euro
        £ = pond
        ² = kwadraat
        ³ = tot de derde
    """)
    | {"=": "is"},
    words=pairs("""
        minus = min
        plus = plus
        point = komma
        to = tot
        at = apenstaartje
        dot = punt
        slash = schuine streep
        hash = hashtag
    """),
    fractions=pairs("""
        ½ = een half
        1/2 = een half
        ⅓ = een derde
        1/3 = een derde
        ⅔ = twee derde
        2/3 = twee derde
        ¼ = een kwart
        1/4 = een kwart
        ¾ = drie kwart
        3/4 = drie kwart
        and = en
    """),
    abbreviations=pairs("""
        dhr. = de heer
        mevr. = mevrouw
        mw. = mevrouw
        dr. = doctor
        prof. = professor
        ir. = ingenieur
        mr. = meester
        ds. = dominee
        St. = Sint
        bijv. = bijvoorbeeld
        bv. = bijvoorbeeld
        d.w.z. = dat wil zeggen
        o.a. = onder andere
        m.a.w. = met andere woorden
        t.o.v. = ten opzichte van
        i.p.v. = in plaats van
        m.b.t. = met betrekking tot
        ca. = circa
        incl. = inclusief
        excl. = exclusief
        evt. = eventueel
        vgl. = vergelijk
        tel. = telefoon
        zgn. = zogenaamd
    """),
    final=pairs("""
        enz. = enzovoort
        etc. = et cetera
        e.d. = en dergelijke
        v.Chr. = voor Christus
        n.Chr. = na Christus
        B.V. = B.V
        N.V. = N.V
    """),
    before_number=pairs("""
        nr. = nummer
        blz. = bladzijde
        p. = pagina
        hfst. = hoofdstuk
        art. = artikel
        fig. = figuur
    """),
    numbered=("hoofdstuk", "Hoofdstuk", "deel", "Deel", "Wereldoorlog", "akte", "boek", "type"),
)
