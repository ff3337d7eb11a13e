"""Spanish; the variants of Latin America and Mexico may write a decimal point."""

from . import Language, currencies, nouns, pairs

LANGUAGE = Language(
    numbers="es",
    decimal=",",
    groups=".",
    decimal_digits=False,
    before_noun=((r"veintiuno$", "veintiún"), (r"uno$", "un")),
    before_feminine=((r"uno$", "una"), (r"cientos\b", "cientas")),
    ordinal=r"(?:\.?[ºª°]|er\b|[rd]o\b|[rd]a\b|[tmv][oa]\b)",
    ordinal_forms=((r"\.?ª|.?a", r"o\b", "a"), (r"er", r"(primer|tercer)o\b", r"\1")),
    months=(
        "enero|ene",
        "febrero|feb",
        "marzo|mar",
        "abril|abr",
        "mayo|may",
        "junio|jun",
        "julio|jul",
        "agosto|ago",
        "septiembre|sept|sep|setiembre",
        "octubre|oct",
        "noviembre|nov",
        "diciembre|dic",
    ),
    date="{day} de {month} de {year}",
    day_ordinal="first",
    hour="{h}",
    hour_minutes="{h} y {m}",
    hour_forms=((r"^(veinti)?uno\b", r"\1una"),),
    hour_mark=r"\s?h\b",
    half_days={"am": "de la mañana", "pm": "de la tarde"},
    money_joiner="de ",
    and_minor="con",
    currencies=currencies("""
        €, EUR: euro, euros / céntimo, céntimos
        $, US$, USD: dólar, dólares / centavo, centavos
        £, GBP: libra, libras, f / penique, peniques
        ¥, JPY: yen, yenes
        CHF: franco suizo, francos suizos / céntimo, céntimos
        MXN: peso, pesos / centavo, centavos
        ARS: peso, pesos / centavo, centavos
        ¢: centavo, centavos
    """),
    scales=pairs("""
        mil = mil
        millón = millón
        millones = millones
        M = millones
        mdd = mil millones
    """),
    units=nouns("""
        millón, millones: millón, millones
        km: kilómetro, kilómetros
        m: metro, metros
        cm: centímetro, centímetros
        mm: milímetro, milímetros
        km², km2: kilómetro cuadrado, kilómetros cuadrados
        m², m2: metro cuadrado, metros cuadrados
        cm²: centímetro cuadrado, centímetros cuadrados
        m³, m3: metro cúbico, metros cúbicos
        ha: hectárea, hectáreas, f
        kg: kilogramo, kilogramos
        g: gramo, gramos
        mg: miligramo, miligramos
        t: tonelada, toneladas, f
        l, L: litro, litros
        ml: mililitro, mililitros
        h, hora, horas: hora, horas, f
        min: minuto, minutos
        s, seg: segundo, segundos
        ms: milisegundo, milisegundos
        km/h: kilómetro por hora, kilómetros por hora
        m/s: metro por segundo, metros por segundo
        °C, ºC: grado Celsius, grados Celsius
        °F: grado Fahrenheit, grados Fahrenheit
        °: grado, grados
        %: por ciento
        ‰: por mil
        W: vatio, vatios
        kW: kilovatio, kilovatios
        kWh: kilovatio hora, kilovatios hora
        V: voltio, voltios
        A: amperio, amperios
        Hz: hercio, hercios
        kHz: kilohercio, kilohercios
        MHz: megahercio, megahercios
        GHz: gigahercio, gigahercios
        dB: decibelio, decibelios
        kB, KB: kilobyte, kilobytes
        MB: megabyte, megabytes
        GB: gigabyte, gigabytes
        TB: terabyte, terabytes
        kcal: kilocaloría, kilocalorías, f
    """),
    symbols=pairs("""
        & = y
        @ = arroba
        % = por ciento
        + = más
        × = por
        ÷ = entre
        ± = más menos
        < = menor que
        > = mayor que
        ≤ = como máximo
        ≥ = como mínimo
        ≈ = aproximadamente
        ≠ = distinto de
        # = número
        № = número
        § = sección
        ° = grados
        $ = dólar
        € = euro
        £ = libra
        ² = al cuadrado
        ³ = al cubo
    """)
    | {"=": "igual a"},
    words=pairs("""
        minus = menos
        plus = más
        point = coma
        to = a
        at = arroba
        dot = punto
        slash = barra
        hash = almohadilla
    """),
    fractions=pairs("""
        ½ = medio
        1/2 = un medio
        ⅓ = un tercio
        1/3 = un tercio
        ⅔ = dos tercios
        2/3 = dos tercios
        ¼ = un cuarto
        1/4 = un cuarto
        ¾ = tres cuartos
        3/4 = tres cuartos
        and = y
    """),
    abbreviations=pairs("""
        Sr. = señor
        Sra. = señora
        Srta. = señorita
        Sres. = señores
        Dr. = doctor
        Dra. = doctora
        Prof. = profesor
        D. = don
        Dña. = doña
        Ud. = usted
        Uds. = ustedes
        Vd. = usted
        Vds. = ustedes
        Sto. = Santo
        Sta. = Santa
        p. ej. = por ejemplo
        p.ej. = por ejemplo
        aprox. = aproximadamente
        Avda. = avenida
        Av. = avenida
        Gral. = general
        tel. = teléfono
        EE. UU. = Estados Unidos
        EE.UU. = Estados Unidos
    """),
    final=pairs("""
        etc. = etcétera
        a. C. = antes de Cristo
        a.C. = antes de Cristo
        d. C. = después de Cristo
        d.C. = después de Cristo
        a.m. = de la mañana
        p.m. = de la tarde
        S.A. = S.A
        Cía. = compañía
    """),
    before_number=pairs("""
        núm. = número
        n.º = número
        nº = número
        Nº = número
        pág. = página
        págs. = páginas
        cap. = capítulo
        art. = artículo
        vol. = volumen
        fig. = figura
    """),
    numbered=("siglo", "Siglo", "capítulo", "Capítulo", "parte", "Parte", "tomo", "Tomo", "acto", "Mundial"),
    variants={"es-419": {"decimal": ".", "groups": ","}, "es-mx": {"decimal": ".", "groups": ","}},
)
