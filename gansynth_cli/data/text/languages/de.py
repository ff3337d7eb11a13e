"""German."""

from . import Language, currencies, nouns, pairs, word_set

_DATIVE = word_set("am im vom zum beim dem den des ab bis seit nach vor einem einer eines keinem jedem diesem")

LANGUAGE = Language(
    numbers="de",
    decimal=",",
    groups=".",
    before_noun=(("eins$", "ein"),),
    before_feminine=(("eins$", "eine"),),
    year_words=word_set(
        "in im jahr jahre seit von bis ab um vor nach anno sommer winter herbst frühling frühjahr ende anfang mitte "
        "januar jänner februar märz april mai juni juli august september oktober november dezember"
    ),
    ordinal=r"(?:te[nrsm]?|ste[nrsm]?)\b",
    ordinal_forms=((r"[st]?ten", "e$", "en"), (r"[st]?ter", "e$", "er"), (r"[st]?tes", "e$", "es"), (r"[st]?tem", "e$", "em")),
    ordinal_dot=True,
    ordinal_after=(
        (_DATIVE - {"der"}, "n"),
        (frozenset({"der", "die", "das"}), ""),
        (frozenset({"ein", "kein", "sein", "ihr", "mein"}), "r"),
    ),
    months=(
        "Januar|Jan|Jänner",
        "Februar|Feb",
        "März|Mär",
        "April|Apr",
        "Mai",
        "Juni|Jun",
        "Juli|Jul",
        "August|Aug",
        "September|Sep|Sept",
        "Oktober|Okt",
        "November|Nov",
        "Dezember|Dez",
    ),
    date="{day} {month} {year}",
    day="{day} {month}",
    day_month="{day} {month} {year}",
    day_ordinal="all",
    hour="{h} Uhr",
    hour_minutes="{h} Uhr {m}",
    hour_forms=(("eins Uhr", "ein Uhr"),),
    feminine_scales=True,
    hour_mark=r"\s?Uhr\b|\s?h\b",
    currencies=currencies("""
        €, EUR: Euro / Cent
        $, US$, USD: Dollar / Cent
        £, GBP: Pfund / Penny, Pence
        ¥, JPY: Yen
        CHF, SFr.: Schweizer Franken / Rappen
        ₽, RUB: Rubel / Kopeke, Kopeken, f
        ₺, TRY: Lira
        ¢: Cent
    """),
    scales=pairs("""
        Tsd. = tausend
        Mio. = Millionen
        Mrd. = Milliarden
        Million = Million
        Millionen = Millionen
        Milliarde = Milliarde
        Milliarden = Milliarden
        Billionen = Billionen
    """),
    units=nouns("""
        Million, Millionen, Mio.: Million, Millionen, f
        Milliarde, Milliarden, Mrd.: Milliarde, Milliarden, f
        Uhr: Uhr
        km: Kilometer
        m: Meter
        cm: Zentimeter
        mm: Millimeter
        µm: Mikrometer
        nm: Nanometer
        km², km2, qkm: Quadratkilometer
        m², m2, qm: Quadratmeter
        cm²: Quadratzentimeter
        m³, m3: Kubikmeter
        cm³: Kubikzentimeter
        ha: Hektar
        kg: Kilogramm
        g: Gramm
        mg: Milligramm
        t: Tonne, Tonnen, f
        l, L: Liter
        ml: Milliliter
        h, Std.: Stunde, Stunden, f
        min, Min.: Minute, Minuten, f
        s, Sek.: Sekunde, Sekunden, f
        ms: Millisekunde, Millisekunden, f
        km/h: Kilometer pro Stunde
        m/s: Meter pro Sekunde
        °C: Grad Celsius
        °F: Grad Fahrenheit
        °: Grad
        %: Prozent
        ‰: Promille
        W: Watt
        kW: Kilowatt
        MW: Megawatt
        kWh: Kilowattstunde, Kilowattstunden, f
        PS: P.S
        V: Volt
        A: Ampere
        Hz: Hertz
        kHz: Kilohertz
        MHz: Megahertz
        GHz: Gigahertz
        dB: Dezibel
        kB, KB: Kilobyte
        MB: Megabyte
        GB: Gigabyte
        TB: Terabyte
        kcal: Kilokalorie, Kilokalorien, f
    """),
    symbols=pairs("""
        & = und
        @ = ät
        % = Prozent
        + = plus
        × = mal
        ÷ = geteilt durch
        ± = plus minus
        < = kleiner als
        > = größer als
        ≤ = höchstens
        ≥ = mindestens
        ≈ = ungefähr
        ≠ = ungleich
        # = Nummer
        № = Nummer
        § = Paragraf
        ° = Grad
        $ = Dollar
        € = Euro
        £ = Pfund
        ² = Quadrat
        ³ = hoch drei
    """)
    | {"=": "gleich"},
    words=pairs("""
        minus = minus
        plus = plus
        point = Komma
        to = bis
        at = ät
        dot = Punkt
        slash = Schrägstrich
        hash = Hashtag
    """),
    fractions=pairs("""
        ½ = einhalb
        1/2 = einhalb
        ⅓ = ein Drittel
        1/3 = ein Drittel
        ⅔ = zwei Drittel
        2/3 = zwei Drittel
        ¼ = ein Viertel
        1/4 = ein Viertel
        ¾ = drei Viertel
        3/4 = drei Viertel
        and = und
    """),
    abbreviations=pairs("""
        Dr. = Doktor
        Prof. = Professor
        Hr. = Herr
        Hrn. = Herrn
        Fr. = Frau
        St. = Sankt
        z.B. = zum Beispiel
        z. B. = zum Beispiel
        d.h. = das heißt
        d. h. = das heißt
        u.a. = unter anderem
        u. a. = unter anderem
        i.d.R. = in der Regel
        i. d. R. = in der Regel
        v.a. = vor allem
        v. a. = vor allem
        o.ä. = oder ähnlich
        o. ä. = oder ähnlich
        bzw. = beziehungsweise
        ca. = circa
        evtl. = eventuell
        ggf. = gegebenenfalls
        inkl. = inklusive
        exkl. = exklusive
        vgl. = vergleiche
        sog. = sogenannt
        geb. = geboren
        gest. = gestorben
        max. = maximal
        min. = minimal
        Tel. = Telefon
        Abb. = Abbildung
        Bd. = Band
        Hrsg. = Herausgeber
        Jh. = Jahrhundert
    """),
    final=pairs("""
        usw. = und so weiter
        etc. = et cetera
        u.s.w. = und so weiter
        Str. = Straße
        Co. = Co
        v.Chr. = vor Christus
        v. Chr. = vor Christus
        n.Chr. = nach Christus
        n. Chr. = nach Christus
    """),
    before_number=pairs("""
        Nr. = Nummer
        S. = Seite
        Kap. = Kapitel
        Abs. = Absatz
        Art. = Artikel
    """),
    numbered=("Kapitel", "Teil", "Band", "Akt", "Buch", "Weltkrieg", "Abschnitt", "Typ", "Phase", "Klasse"),
)
