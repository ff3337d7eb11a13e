"""English; the table is American, `en-gb` and other variants write the day first."""

from . import Language, currencies, nouns, pairs, word_set

LANGUAGE = Language(
    numbers="en",
    decimal=".",
    groups=",",
    year_words=word_set(
        "in since from until till by of year years before after circa during around early late mid spring summer autumn fall winter "
        "january february march april may june july august september october november december"
    ),
    ordinal=r"(?:st|nd|rd|th)\b",
    months=(
        "January|Jan",
        "February|Feb",
        "March|Mar",
        "April|Apr",
        "May",
        "June|Jun",
        "July|Jul",
        "August|Aug",
        "September|Sep|Sept",
        "October|Oct",
        "November|Nov",
        "December|Dec",
    ),
    day_first=False,
    date="{month} {day} {year}",
    day="{month} {day}",
    day_month="the {day} of {month} {year}",
    day_ordinal="all",
    hour="{h} o'clock",
    hour_minutes="{h} {m}",
    late_hour="{h} hundred",
    small_minutes="oh {m}",
    half_days={"am": "A.M", "pm": "P.M"},
    and_minor="and",
    currencies=currencies("""
        $, US$, USD: dollar, dollars / cent, cents
        €, EUR: euro, euros / cent, cents
        £, GBP: pound, pounds / penny, pence
        ¥, JPY: yen
        ₹, INR: rupee, rupees / paisa, paise
        ₽, RUB: rouble, roubles / kopeck, kopecks
        ₩, KRW: won
        ₺, TRY: lira, liras / kurus
        CHF: Swiss franc, Swiss francs / centime, centimes
        A$, AUD: Australian dollar, Australian dollars / cent, cents
        C$, CAD: Canadian dollar, Canadian dollars / cent, cents
        ¢: cent, cents
    """),
    scales=pairs("""
        thousand = thousand
        million = million
        billion = billion
        trillion = trillion
        k = thousand
        K = thousand
        m = million
        M = million
        bn = billion
        B = billion
        tn = trillion
    """),
    units=nouns("""
        km: kilometre, kilometres
        m: metre, metres
        cm: centimetre, centimetres
        mm: millimetre, millimetres
        µm: micrometre, micrometres
        nm: nanometre, nanometres
        km², km2: square kilometre, square kilometres
        m², m2: square metre, square metres
        cm²: square centimetre, square centimetres
        m³, m3: cubic metre, cubic metres
        cm³: cubic centimetre, cubic centimetres
        ha: hectare, hectares
        mi: mile, miles
        ft: foot, feet
        yd: yard, yards
        lb, lbs: pound, pounds
        oz: ounce, ounces
        kg: kilogram, kilograms
        g: gram, grams
        mg: milligram, milligrams
        µg: microgram, micrograms
        t: tonne, tonnes
        l, L: litre, litres
        ml, mL: millilitre, millilitres
        h, hr, hrs: hour, hours
        min, mins: minute, minutes
        s, sec, secs: second, seconds
        ms: millisecond, milliseconds
        km/h, kph, kmh: kilometre per hour, kilometres per hour
        mph: mile per hour, miles per hour
        m/s: metre per second, metres per second
        °C: degree Celsius, degrees Celsius
        °F: degree Fahrenheit, degrees Fahrenheit
        °: degree, degrees
        %: percent
        ‰: per mille
        W: watt, watts
        kW: kilowatt, kilowatts
        MW: megawatt, megawatts
        kWh: kilowatt hour, kilowatt hours
        V: volt, volts
        mAh: milliamp hour, milliamp hours
        Hz: hertz
        kHz: kilohertz
        MHz: megahertz
        GHz: gigahertz
        dB: decibel, decibels
        bit: bit, bits
        kB, KB: kilobyte, kilobytes
        MB: megabyte, megabytes
        GB: gigabyte, gigabytes
        TB: terabyte, terabytes
        Mbit/s, Mbps: megabit per second, megabits per second
        kcal: kilocalorie, kilocalories
        px: pixel, pixels
    """),
    symbols=pairs("""
        & = and
        @ = at
        % = percent
        + = plus
        × = times
        ÷ = divided by
        ± = plus or minus
        < = less than
        > = greater than
        ≤ = at most
        ≥ = at least
        ≈ = about
        ≠ = is not
        # = number
        № = number
        § = section
        ° = degrees
        $ = dollar
        € = euro
        £ = pound
        ² = squared
        ³ = cubed
    """)
    | {"=": "equals"},
    words=pairs("""
        minus = minus
        plus = plus
        point = point
        to = to
        at = at
        dot = dot
        slash = slash
        hash = hashtag
    """),
    fractions=pairs("""
        ½ = one half
        1/2 = one half
        ⅓ = one third
        1/3 = one third
        ⅔ = two thirds
        2/3 = two thirds
        ¼ = one quarter
        1/4 = one quarter
        ¾ = three quarters
        3/4 = three quarters
        ⅛ = one eighth
        and = and
    """),
    abbreviations=pairs("""
        Mr. = Mister
        Mrs. = Missis
        Ms. = Miz
        Dr. = Doctor
        Prof. = Professor
        St. = Saint
        Gen. = General
        Col. = Colonel
        Capt. = Captain
        Lt. = Lieutenant
        Sgt. = Sergeant
        Rev. = Reverend
        Hon. = Honourable
        Gov. = Governor
        Sen. = Senator
        Rep. = Representative
        Pres. = President
        Mt. = Mount
        Ft. = Fort
        vs. = versus
        e.g. = for example
        i.e. = that is
        cf. = compare
        approx. = approximately
        ca. = circa
        viz. = namely
        al. = al
        dept. = department
        w/ = with
        w/o = without
    """),
    final=pairs("""
        etc. = et cetera
        Jr. = Junior
        Sr. = Senior
        Inc. = Incorporated
        Ltd. = Limited
        Co. = Company
        Corp. = Corporation
        Ave. = Avenue
        Rd. = Road
        Blvd. = Boulevard
        a.m. = A.M
        p.m. = P.M
        A.M. = A.M
        P.M. = P.M
    """),
    before_number=pairs("""
        No. = number
        no. = number
        Nos. = numbers
        Vol. = volume
        vol. = volume
        p. = page
        pp. = pages
        Fig. = figure
        fig. = figure
        Ch. = chapter
        ch. = chapter
        Sec. = section
        sec. = section
        Eq. = equation
        c. = circa
    """),
    numbered=("Chapter", "Part", "Volume", "Act", "Book", "War", "Section", "Phase", "Type", "Grade", "Class", "Apollo"),
    variants={
        "en-gb": {"day_first": True, "date": "the {day} of {month} {year}", "day": "the {day} of {month}"},
        "en-029": {"day_first": True},
    },
)
