"""French; Swiss and Belgian French have their own seventies and nineties in num2words."""

from . import Language, currencies, nouns, pairs

LANGUAGE = Language(
    numbers="fr",
    decimal=",",
    groups=". ",
    decimal_digits=False,
    before_feminine=((r"\bun$", "une"),),
    ordinal=r"(?:ers?|ères?|res?|[ièe]?mes?|nde?s?|es?)\b",
    ordinal_forms=((r"ères?|res?", "premier$", "première"), (r"nde?s?", "deuxième$", "second"), (r"ndes?", "second$", "seconde")),
    months=(
        "janvier|janv",
        "février|févr",
        "mars",
        "avril|avr",
        "mai",
        "juin",
        "juillet|juil",
        "août",
        "septembre|sept",
        "octobre|oct",
        "novembre|nov",
        "décembre|déc",
    ),
    date="{day} {month} {year}",
    day_ordinal="first",
    hour="{h} heures",
    hour_minutes="{h} heures {m}",
    hour_forms=((r"\bun heures", "une heure"), (r"vingt et une heure", "vingt et une heures")),
    hour_mark=r"\s?(?:heures?|h)\b",
    money_joiner="d'",
    and_minor="",
    currencies=currencies("""
        €, EUR: euro, euros / centime, centimes
        $, US$, USD: dollar, dollars / cent, cents
        £, GBP: livre, livres, f / penny, pence
        ¥, JPY: yen, yens
        CHF: franc suisse, francs suisses / centime, centimes
        ¢: cent, cents
    """),
    scales=pairs("""
        million = million
        millions = millions
        milliard = milliard
        milliards = milliards
        M = millions
        Md = milliards
        k = mille
    """),
    units=nouns("""
        km: kilomètre, kilomètres
        m: mètre, mètres
        cm: centimètre, centimètres
        mm: millimètre, millimètres
        km², km2: kilomètre carré, kilomètres carrés
        m², m2: mètre carré, mètres carrés
        cm²: centimètre carré, centimètres carrés
        m³, m3: mètre cube, mètres cubes
        ha: hectare, hectares
        kg: kilogramme, kilogrammes
        g: gramme, grammes
        mg: milligramme, milligrammes
        t: tonne, tonnes, f
        l, L: litre, litres
        ml: millilitre, millilitres
        h, heure, heures: heure, heures, f
        min, mn: minute, minutes, f
        s, sec: seconde, secondes, f
        ms: milliseconde, millisecondes, f
        km/h: kilomètre heure, kilomètres heure
        m/s: mètre par seconde, mètres par seconde
        °C: degré Celsius, degrés Celsius
        °F: degré Fahrenheit, degrés Fahrenheit
        °: degré, degrés
        %: pour cent
        ‰: pour mille
        W: watt, watts
        kW: kilowatt, kilowatts
        kWh: kilowatt-heure, kilowatts-heures
        V: volt, volts
        A: ampère, ampères
        Hz: hertz
        kHz: kilohertz
        MHz: mégahertz
        GHz: gigahertz
        dB: décibel, décibels
        ko, Ko: kilo-octet, kilo-octets
        Mo: méga-octet, méga-octets
        Go: giga-octet, giga-octets
        To: téra-octet, téra-octets
        kcal: kilocalorie, kilocalories, f
    """),
    symbols=pairs("""
        & = et
        @ = arobase
        % = pour cent
        + = plus
        × = fois
        ÷ = divisé par
        ± = plus ou moins
        < = inférieur à
        > = supérieur à
        ≤ = au plus
        ≥ = au moins
        ≈ = environ
        ≠ = différent de
        # = numéro
        № = numéro
        § = paragraphe
        ° = degrés
        $ = dollar
        € = euro
        £ = livre
        ² = au carré
        ³ = au cube
    """)
    | {"=": "égale"},
    words=pairs("""
        minus = moins
        plus = plus
        point = virgule
        to = à
        at = arobase
        dot = point
        slash = barre oblique
        hash = mot-dièse
    """),
    fractions=pairs("""
        ½ = un demi
        1/2 = un demi
        ⅓ = un tiers
        1/3 = un tiers
        ⅔ = deux tiers
        2/3 = deux tiers
        ¼ = un quart
        1/4 = un quart
        ¾ = trois quarts
        3/4 = trois quarts
        and = et
    """),
    abbreviations=pairs("""
        M. = Monsieur
        MM. = Messieurs
        Mme = Madame
        Mmes = Mesdames
        Mlle = Mademoiselle
        Mlles = Mesdemoiselles
        Dr = Docteur
        Dr. = Docteur
        Pr = Professeur
        Me = Maître
        Mgr = Monseigneur
        St = Saint
        Ste = Sainte
        p. ex. = par exemple
        p.ex. = par exemple
        c.-à-d. = c'est-à-dire
        env. = environ
        cf. = confer
        av. = avenue
        bd. = boulevard
        tél. = téléphone
        éd. = édition
    """),
    final=pairs("""
        etc. = et cetera
        av. J.-C. = avant Jésus-Christ
        apr. J.-C. = après Jésus-Christ
        S.A. = S.A
    """),
    before_number=pairs("""
        n° = numéro
        N° = numéro
        nº = numéro
        no. = numéro
        p. = page
        pp. = pages
        chap. = chapitre
        art. = article
        vol. = volume
        fig. = figure
    """),
    numbered=("chapitre", "Chapitre", "partie", "tome", "Tome", "acte", "Acte", "mondiale", "type", "livre", "Livre"),
    variants={"fr-ch": {"numbers": "fr_CH"}, "fr-be": {"numbers": "fr_BE"}},
)
