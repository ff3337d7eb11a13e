"""Portuguese; `pt-br` takes Brazilian numbers."""

from . import Language, currencies, nouns, pairs

LANGUAGE = Language(
    numbers="pt",
    decimal=",",
    groups=".",
    decimal_digits=False,
    before_feminine=((r"\bum$", "uma"), (r"\bdois$", "duas"), (r"entos\b", "entas")),
    ordinal=r"(?:\.?[ºª°]|[oa]\b)",
    ordinal_forms=((r"\.?ª|a", r"o\b", "a"),),
    months=(
        "janeiro|jan",
        "fevereiro|fev",
        "março|mar",
        "abril|abr",
        "maio|mai",
        "junho|jun",
        "julho|jul",
        "agosto|ago",
        "setembro|set",
        "outubro|out",
        "novembro|nov",
        "dezembro|dez",
    ),
    date="{day} de {month} de {year}",
    day_ordinal="first",
    hour="{h} horas",
    hour_minutes="{h} e {m}",
    hour_forms=((r"^um horas", "uma hora"), (r"\bum (horas|e)", r"uma \1"), (r"\bdois (horas|e)", r"duas \1")),
    hour_mark=r"\s?(?:horas?|h)\b",
    money_joiner="de ",
    and_minor="e",
    currencies=currencies("""
        €, EUR: euro, euros / cêntimo, cêntimos
        R$, BRL: real, reais / centavo, centavos
        $, US$, USD: dólar, dólares / centavo, centavos
        £, GBP: libra, libras, f / pêni, pence
        ¥, JPY: iene, ienes
        CHF: franco suíço, francos suíços / cêntimo, cêntimos
        ¢: centavo, centavos
    """),
    scales=pairs("""
        mil = mil
        milhão = milhão
        milhões = milhões
        bilhão = bilhão
        bilhões = bilhões
        mi = milhões
        bi = bilhões
        M = milhões
    """),
    units=nouns("""
        milhão, milhões: milhão, milhões
        bilhão, bilhões: bilhão, bilhões
        km: quilômetro, quilômetros
        m: metro, metros
        cm: centímetro, centímetros
        mm: milímetro, milímetros
        km², km2: quilômetro quadrado, quilômetros quadrados
        m², m2: metro quadrado, metros quadrados
        cm²: centímetro quadrado, centímetros quadrados
        m³, m3: metro cúbico, metros cúbicos
        ha: hectare, hectares
        kg: quilograma, quilogramas
        g: grama, gramas
        mg: miligrama, miligramas
        t: tonelada, toneladas, f
        l, L: litro, litros
        ml: mililitro, mililitros
        h, hora, horas: hora, horas, f
        min: minuto, minutos
        s, seg: segundo, segundos
        ms: milissegundo, milissegundos
        km/h: quilômetro por hora, quilômetros por hora
        m/s: metro por segundo, metros por segundo
        °C, ºC: grau Celsius, graus Celsius
        °F: grau Fahrenheit, graus Fahrenheit
        °: grau, graus
        %: por cento
        ‰: por mil
        W: watt, watts
        kW: quilowatt, quilowatts
        kWh: quilowatt-hora, quilowatts-hora
        V: volt, volts
        A: ampere, amperes
        Hz: hertz
        kHz: quilohertz
        MHz: mega-hertz
        GHz: giga-hertz
        dB: decibel, decibéis
        kB, KB: quilobyte, quilobytes
        MB: megabyte, megabytes
        GB: gigabyte, gigabytes
        TB: terabyte, terabytes
        kcal: quilocaloria, quilocalorias, f
    """),
    symbols=pairs("""
        & = e
        @ = arroba
        % = por cento
        + = mais
        × = vezes
        ÷ = dividido por
        ± = mais ou menos
        < = menor que
        > = maior que
        ≤ = no máximo
        ≥ = no mínimo
        ≈ = aproximadamente
        ≠ = diferente de
        # = número
        № = número
        § = parágrafo
        ° = graus
        $ = dólar
        € = euro
        £ = libra
        ² = ao quadrado
        ³ = ao cubo
    """)
    | {"=": "igual a"},
    words=pairs("""
        minus = menos
        plus = mais
        point = vírgula
        to = a
        at = arroba
        dot = ponto
        slash = barra
        hash = hashtag
    """),
    fractions=pairs("""
        ½ = meio
        1/2 = meio
        ⅓ = um terço
        1/3 = um terço
        ⅔ = dois terços
        2/3 = dois terços
        ¼ = um quarto
        1/4 = um quarto
        ¾ = três quartos
        3/4 = três quartos
        and = e
    """),
    abbreviations=pairs("""
        Sr. = senhor
        Sra. = senhora
        Srta. = senhorita
        Srs. = senhores
        Dr. = doutor
        Dra. = doutora
        Prof. = professor
        Profa. = professora
        D. = dom
        Eng. = engenheiro
        Sto. = Santo
        Sta. = Santa
        V. = você
        p. ex. = por exemplo
        p.ex. = por exemplo
        aprox. = aproximadamente
        Av. = avenida
        R. = rua
        tel. = telefone
        Gal. = general
    """),
    final=pairs("""
        etc. = et cetera
        a.C. = antes de Cristo
        a. C. = antes de Cristo
        d.C. = depois de Cristo
        d. C. = depois de Cristo
        S.A. = S.A
        Ltda. = limitada
        Cia. = companhia
    """),
    before_number=pairs("""
        n.º = número
        nº = número
        Nº = número
        núm. = número
        pág. = página
        págs. = páginas
        p. = página
        cap. = capítulo
        art. = artigo
        vol. = volume
        fig. = figura
    """),
    numbered=("século", "Século", "capítulo", "Capítulo", "parte", "Parte", "tomo", "ato", "livro", "Mundial", "tipo"),
    variants={"pt-br": {"numbers": "pt_BR"}},
)
