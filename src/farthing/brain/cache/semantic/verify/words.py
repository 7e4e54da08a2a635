# ruff: noqa: E501, SIM905 -- words are read more easily in rows
"""The words that the rules and the features know. Data alone."""

_ANTONYMS = """with/without allow/deny allow/forbid enable/disable more/less more/fewer most/least before/after
open/close increase/decrease increase/reduce raise/lower accept/reject accept/decline approve/reject buy/sell
purchase/sell add/remove include/exclude activate/deactivate install/uninstall lock/unlock block/unblock
freeze/unfreeze upgrade/downgrade import/export upload/download send/receive deposit/withdraw lend/borrow
credit/debit always/never best/worst good/bad better/worse safe/dangerous safe/unsafe legal/illegal
possible/impossible cheap/expensive cheapest/dearest fast/slow fastest/slowest high/low highest/lowest
higher/lower big/small biggest/smallest large/small largest/smallest long/short longest/shortest old/young
oldest/newest oldest/youngest hot/cold early/late earlier/later first/last minimum/maximum min/max above/below
over/under inside/outside indoors/outdoors left/right north/south east/west northern/southern eastern/western
male/female man/woman men/women boy/girl boys/girls guy/lady husband/wife mother/father mom/dad brother/sister
son/daughter boyfriend/girlfriend king/queen positive/negative true/false pass/fail win/lose gain/lose rich/poor
healthy/unhealthy hard/easy difficult/easy push/pull arrival/departure arrive/depart arrive/leave cause/prevent
love/hate like/dislike advantages/disadvantages advantage/disadvantage pros/cons benefits/risks benefits/drawbacks
benefits/disadvantages strengths/weaknesses public/private internal/external personal/business morning/evening
day/night summer/winter encrypt/decrypt encode/decode serialise/deserialise compress/decompress connect/disconnect
subscribe/unsubscribe follow/unfollow sitting/standing walking/running sleeping/awake empty/full wet/dry
clean/dirty loud/quiet loudly/quietly ascending/descending vertical/horizontal vertically/horizontally input/output
local/remote permanent/temporary permanently/temporarily weekday/weekend weekdays/weekends employer/employee
buyer/seller landlord/tenant online/offline indoor/outdoor domestic/international incoming/outgoing
singular/plural merge/split start/stop begin/end start/finish opening/closing putting/removing loading/unloading
accepting/rejecting accepting/declining buying/selling adding/removing sending/receiving increasing/decreasing
enabled/disabled allowed/forbidden locked/unlocked blocked/unblocked climbing/descending up/down upstairs/downstairs
odd/even prime/composite hire/fire create/delete create/destroy insert/delete mount/unmount show/hide
visible/hidden appreciate/depreciate ascend/descend attach/detach bull/bear ceiling/floor expand/collapse
fresh/stale heavy/light inhale/exhale innocent/guilty major/minor mandatory/optional required/optional
married/single offence/defence parent/child predator/prey profit/loss question/answer raw/cooked refundable/nonrefundable
sunrise/sunset supply/demand tall/short thick/thin victory/defeat wide/narrow win/loss wireless/wired
zoom/unzoom save/spend login/logout pregnant/barren employed/unemployed maternal/paternal import/export""".split()

ANTONYMS: dict[str, frozenset[str]] = {}
for _pair in _ANTONYMS:
    _one, _two = _pair.split("/")
    ANTONYMS[_one] = ANTONYMS.get(_one, frozenset()) | {_two}
    ANTONYMS[_two] = ANTONYMS.get(_two, frozenset()) | {_one}

NEGATIONS = frozenset(
    """not no never without none nobody nothing nowhere neither nor cannot unable n't cant dont doesnt didnt
    isnt arent wasnt werent wont wouldnt shouldnt couldnt havent hasnt""".split()
)

STOP = frozenset(
    """a an the of to in on at for by from with and or is are was were be been being am do does did doing has
    have had i you he she it we they me my your his her its our their this that these those there here as if so
    than then can could would should will shall may might must what which who whom whose when where why how one
    ones 's 'm 're 've 'll 'd s t please tell know want like about into any some just also really get got vs
    versus between hi hello hey thanks thank need help im ive id lot someone anyone something anything other
    us it's not no n't most many much more very too up out over""".split()
)

NUMBER_WORDS = {
    "zero": 0, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60,
    "seventy": 70, "eighty": 80, "ninety": 90, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
    "eighth": 8, "ninth": 9, "tenth": 10, "twice": 2, "double": 2, "triple": 3, "dozen": 12,
}  # fmt: skip
TIMES = {"hundred": 100, "thousand": 1_000, "k": 1_000, "million": 10**6, "mn": 10**6, "billion": 10**9, "bn": 10**9,
         "lakh": 10**5, "lakhs": 10**5, "lac": 10**5, "crore": 10**7, "crores": 10**7, "trillion": 10**12}  # fmt: skip

_UNITS = """km kms kilometre kilometres kilometer kilometers/m metre metres meter meters/cm centimetre
centimetres centimeter centimeters/mm millimetre millimetres millimeter millimeters/mile miles mi/foot feet ft/inch
inches/yard yards/acre acres/hectare hectares ha/kg kgs kilo kilos kilogram kilograms/g gram grams/mg milligram
milligrams/lb lbs/ounce ounces oz/tonne tonnes ton tons/litre litres liter liters/ml millilitre millilitres
milliliter/gallon gallons/cup cups/tablespoon tablespoons tbsp/teaspoon teaspoons tsp/second seconds sec secs/minute
minutes min mins/hour hours hr hrs/day days/week weeks/month months/year years yr yrs/decade decades/century
centuries/celsius centigrade/fahrenheit/kelvin/dollar dollars $ usd bucks/euro euros € eur/pound pounds £ gbp/yen ¥
jpy/rupee rupees ₹ inr rs/franc francs chf/yuan rmb cny/aud/cad/bitcoin btc/% percent percentage pct/byte bytes/kb
kilobyte kilobytes/mb megabyte megabytes/gb gigabyte gigabytes/tb terabyte terabytes/bit bits/watt watts/volt
volts/amp amps/calorie calories kcal/joule joules/mph/kph kmh/rpm/hz/mhz/ghz/degree degrees/am a.m/pm p.m"""
UNITS = {name: group.split()[0] for group in _UNITS.split("/") for name in group.split()}
UNIT_BARE = frozenset(UNITS.values()) - {
    "m", "g", "second", "minute", "day", "week", "month", "year", "cup", "bit", "pound", "am", "min", "degree", "hour",
}  # fmt: skip
"""Units that mean something without a number before them: `convert miles to feet`."""

_CALENDAR = """january jan/february feb/march/april apr/may/june jun/july jul/august aug/september sept sep/october
oct/november nov/december dec/monday/tuesday tues/wednesday/thursday thurs/friday/saturday/sunday/today
now/tomorrow/yesterday/tonight/christmas xmas/easter/halloween/thanksgiving/diwali/ramadan/weekend weekends/spring/
summer/autumn/winter/noon midday/midnight"""
CALENDAR = {name.strip(): group.split()[0] for group in _CALENDAR.split("/") for name in group.split()}
CALENDAR_CASED = frozenset({"may", "march", "spring", "now"})
"""Words that are a date only if something shows it: a capital or a number next to them."""

_PLACES = """india indian indians/pakistan pakistani/bangladesh bangladeshi/nepal nepali/china chinese/japan
japanese/korea korean/russia russian/germany german/france french/italy italian/spain spanish/portugal
portuguese/austria austrian/switzerland swiss/belgium belgian/netherlands dutch holland/poland polish/sweden
swedish/norway norwegian/denmark danish/finland finnish/greece greek/turkey turkish/egypt egyptian/israel
israeli/iran iranian/iraq iraqi/syria syrian/usa america american americans/uk britain british england english/ireland
irish/scotland scottish/wales welsh/canada canadian/mexico mexican/brazil brazilian/argentina argentinian/chile
chilean/colombia colombian/peru peruvian/australia australian/singapore singaporean/malaysia malaysian/thailand
thai/vietnam vietnamese/indonesia indonesian/philippines filipino/nigeria nigerian/kenya kenyan/ghana/ethiopia
ethiopian/africa african/asia asian/europe european/dubai/uae emirates/mumbai bombay/delhi/bangalore
bengaluru/chennai madras/hyderabad/pune/kolkata calcutta/london/paris/berlin/munich/hamburg/madrid/barcelona/rome/
milan/vienna/prague/amsterdam/lisbon/dublin/boston/chicago/seattle/miami/houston/dallas/austin/denver/atlanta/
tokyo/osaka/kyoto/seoul/beijing/shanghai/bangkok/istanbul/cairo/nairobi/lagos/sydney/melbourne/toronto/vancouver/
montreal/texas/california californian/florida/ohio/alaska/hawaii/oregon/virginia/carolina/arizona/nevada/colorado/
arabic/hindi/mandarin/tamil/urdu/latin/hebrew/bengali/python/java/javascript js/ruby/php/kotlin/rust/golang/swift/
iphone/android/windows/linux ubuntu/macos/ios/facebook/instagram/twitter/snapchat/whatsapp/telegram/linkedin/
reddit/quora/youtube/tiktok/gmail/yahoo/hotmail/outlook/google/microsoft/amazon/netflix/spotify/uber/lyft/
paypal/visa/mastercard/samsung/nokia/sony/toyota/honda/ford/bmw/tesla/trump/clinton/obama/modi/putin/biden/dog
dogs puppy/cat cats kitten/horse horses/guitar/piano/flute/violin/drums"""
NAMED = {name.strip(): group.split()[0] for group in _PLACES.split("/") for name in group.split()}
"""Names and kinds that never replace each other, in whatever case they are written."""

CASED = frozenset("us it who polish turkey aids nice reading".split())
"""Words that a capital turns into another word, and that are as common in lower case."""

COUNTED = frozenset("all some few several both half every each only".split())

_PHRASES = (
    ("united states of america", "usa"), ("united states", "usa"), ("united kingdom", "uk"), ("great britain", "uk"),
    ("the us ", "the usa "), ("the u.s.", "the usa"), ("u.s.", "usa"), ("u.k.", "uk"), ("new york city", "newyork"),
    ("new york", "newyork"), ("nyc", "newyork"), ("los angeles", "losangeles"), ("san francisco", "sanfrancisco"),
    ("new zealand", "newzealand"), ("south africa", "southafrica"), ("south korea", "southkorea"),
    ("north korea", "northkorea"), ("sri lanka", "srilanka"), ("hong kong", "hongkong"), ("las vegas", "lasvegas"),
    ("saudi arabia", "saudiarabia"), ("per cent", "percent"), ("at least", "atleast"), ("at most", "atmost"),
    ("more than", "morethan"), ("less than", "lessthan"), ("fewer than", "lessthan"), ("turn on", "enable"),
    ("turn off", "disable"), ("switch on", "enable"), ("switch off", "disable"), ("right now", "now"),
    ("no longer", "not"), ("or why not", ""), ("why or why not", ""), ("if not", "if otherwise"), ("or not", ""),
    ("not only", "only"), ("non-stop", "nonstop"), ("n't", " not"), ("last night", "lastnight"), ("\u200b", ""),
)  # fmt: skip
COUNTING = frozenset("many of few in per each every".split())
POINTING = frozenset("last next this past previous".split())
SPANS = frozenset("morning afternoon evening night week month quarter year season semester".split())
_JOINED = ("newyork losangeles sanfrancisco newzealand southafrica southkorea northkorea srilanka hongkong lasvegas "
           "saudiarabia").split()  # fmt: skip
PHRASES = dict(_PHRASES)
"""Substituted before the text is split: one name for each thing, one word for pairs of words with one
meaning."""
NAMED |= {name: name for name in _JOINED}

SAME_RANK = {"biggest": "largest", "newest": "latest", "quickest": "fastest", "simplest": "easiest"}
RANKS = frozenset(
    """largest biggest smallest fastest quickest slowest easiest simplest hardest cheapest highest lowest longest
    shortest oldest youngest newest latest earliest nearest closest farthest richest poorest safest healthiest tallest
    hottest coldest strongest weakest deepest heaviest lightest widest""".split()
)

_CYRILLIC = "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0406"
_GREEK = (
    "\u03bf\u03b1\u03bd\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
)
LOOK_ALIKE = str.maketrans(
    _CYRILLIC + _GREEK + "\u2019\u2018\u02bc`",
    "aeopcyxijsABEKMHOPCTXI" + "oavABEZHIKMNOPTYX" + "''''",
    "\u200b\u200c\u200d\u2060\ufeff\u00ad",
)
"""Letters of other scripts that look Latin, and invisible letters."""
