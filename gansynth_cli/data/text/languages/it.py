"""Italian."""

from . import Language, currencies, nouns, pairs

LANGUAGE = Language(
    numbers="it",
    decimal=",",
    groups=".",
    decimal_digits=False,
    before_noun=((r"\buno$", "un"), (r"([a-z])uno$", r"\1un")),
    before_feminine=((r"\buno$", "una"), (r"([a-z])uno$", r"\1uno")),
    ordinal=r"(?:[ºª°]|[oa]\b)",
    ordinal_forms=((r"ª|a", r"o$", "a"),),
    months=(
        "gennaio|gen",
        "febbraio|feb",
        "marzo|mar",
        "aprile|apr",
        "maggio|mag",
        "giugno|giu",
        "luglio|lug",
        "agosto|ago",
        "settembre|set|sett",
        "ottobre|ott",
        "novembre|nov",
        "dicembre|dic",
    ),
    date="{day} {month} {year}",
    day_ordinal="first",
    hour="{h}",
    hour_minutes="{h} e {m}",
    hour_forms=((r"^uno\b", "una"),),
    hour_mark=r"\s?h\b",
    money_joiner="di ",
    and_minor="e",
    currencies=currencies("""
        €, EUR: euro / centesimo, centesimi
        $, US$, USD: dollaro, dollari / centesimo, centesimi
        £, GBP: sterlina, sterline, f / penny
        ¥, JPY: yen
        CHF: franco svizzero, franchi svizzeri / centesimo, centesimi
        ¢: centesimo, centesimi
    """),
    scales=pairs("""
        mila = mila
        milione = milione
        milioni = milioni
        miliardo = miliardo
        miliardi = miliardi
        mln = milioni
        mld = miliardi
    """),
    units=nouns("""
        milione, milioni: milione, milioni
        miliardo, miliardi: miliardo, miliardi
        km: chilometro, chilometri
        m: metro, metri
        cm: centimetro, centimetri
        mm: millimetro, millimetri
        km², km2: chilometro quadrato, chilometri quadrati
        m², m2, mq: metro quadrato, metri quadrati
        cm²: centimetro quadrato, centimetri quadrati
        m³, m3: metro cubo, metri cubi
        ha: ettaro, ettari
        kg: chilogrammo, chilogrammi
        g: grammo, grammi
        mg: milligrammo, milligrammi
        t: tonnellata, tonnellate, f
        l, L: litro, litri
        ml: millilitro, millilitri
        h, ora, ore: ora, ore, f
        min: minuto, minuti
        s, sec: secondo, secondi
        ms: millisecondo, millisecondi
        km/h: chilometro all'ora, chilometri all'ora
        m/s: metro al secondo, metri al secondo
        °C: grado Celsius, gradi Celsius
        °F: grado Fahrenheit, gradi Fahrenheit
        °: grado, gradi
        %: per cento
        ‰: per mille
        W: watt
        kW: chilowatt
        kWh: chilowattora
        V: volt
        A: ampere
        Hz: hertz
        kHz: chilohertz
        MHz: megahertz
        GHz: gigahertz
        dB: decibel
        kB, KB: kilobyte
        MB: megabyte
        GB: gigabyte
        TB: terabyte
        kcal: chilocaloria, chilocalorie, f
    """),
    symbols=pairs("""
        & = e
        @ = chiocciola
        % = per cento
        + = più
        × = per
        ÷ = diviso
        ± = più o meno
        < = minore di
        > = maggiore di
        ≤ = al massimo
        ≥ = almeno
        ≈ = circa
        ≠ = diverso da
        # = numero
        № = numero
        § = paragrafo
        ° = gradi
        $ = dollaro
        € = euro
        £ = sterlina
        ² = al quadrato
        ³ = al cubo
    """)
    | {"=": "uguale a"},
    words=pairs("""
        minus = meno
        plus = più
        point = virgola
        to = a
        at = chiocciola
        dot = punto
        slash = barra
        hash = cancelletto
    """),
    fractions=pairs("""
        ½ = mezzo
        1/2 = un mezzo
        ⅓ = un terzo
        1/3 = un terzo
        ⅔ = due terzi
        2/3 = due terzi
        ¼ = un quarto
        1/4 = un quarto
        ¾ = tre quarti
        3/4 = tre quarti
        and = e
    """),
    abbreviations=pairs("""
        Sig. = signor
        Sig.ra = signora
        Sig.na = signorina
        Sigg. = signori
        Dott. = dottor
        Dr. = dottor
        Dott.ssa = dottoressa
        Prof. = professor
        Prof.ssa = professoressa
        Ing. = ingegner
        Avv. = avvocato
        Arch. = architetto
        On. = onorevole
        S. = San
        Gen. = generale
        p.es. = per esempio
        p. es. = per esempio
        es. = esempio
        ca. = circa
        cfr. = confronta
        tel. = telefono
    """),
    final=pairs("""
        ecc. = eccetera
        etc. = eccetera
        a.C. = avanti Cristo
        a. C. = avanti Cristo
        d.C. = dopo Cristo
        d. C. = dopo Cristo
        S.p.A. = S.P.A
        S.r.l. = S.R.L
    """),
    before_number=pairs("""
        n. = numero
        N. = numero
        p. = pagina
        pp. = pagine
        pag. = pagina
        cap. = capitolo
        art. = articolo
        vol. = volume
        fig. = figura
    """),
    numbered=("capitolo", "Capitolo", "parte", "Parte", "tomo", "atto", "Atto", "libro", "Libro", "mondiale", "tipo"),
)
