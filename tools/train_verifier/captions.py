# ruff: noqa: E501, UP031 -- tables are read by row
"""Statement pairs in the manner of picture captions, and questions with numbers, dates and units."""

import random
from collections.abc import Iterator

from frames import Pair

WHO = [["a man", "a guy", "a male person"], ["a woman", "a lady"], ["a boy", "a young boy", "a male child"],
       ["a girl", "a young girl"], ["a dog", "a puppy"], ["a cat", "a kitten"], ["a child", "a kid"],
       ["a chef", "a cook"], ["a soldier"], ["a monkey"], ["a horse"], ["a teacher"], ["a player"],
       ["a biker", "a motorcyclist"], ["a baby", "an infant"], ["two men", "two guys"], ["two women", "two ladies"],
       ["three dogs"], ["several people", "some people"], ["many children", "a lot of kids"],
       ["the customer", "the client"], ["the manager", "the boss"], ["the driver"]]  # fmt: skip
DOES = [  # verb phrase wordings; the next entry of the row is a near relative or an opposite
    [["playing a guitar", "strumming a guitar"], ["playing a piano"], ["playing a flute"], ["tuning a guitar"]],
    [["slicing an onion", "cutting an onion into slices"], ["peeling an onion"], ["slicing a tomato", "cutting a tomato"],
     ["eating an onion"], ["dicing a potato"]],
    [["riding a horse"], ["riding a bike", "riding a bicycle"], ["washing a horse"], ["falling off a horse"]],
    [["running on the grass", "running through the grass"], ["sitting on the grass"], ["lying on the grass"],
     ["running on the beach"]],
    [["jumping into the water", "leaping into the water"], ["climbing out of the water"], ["standing near the water"]],
    [["opening a box"], ["closing a box"], ["carrying a box"], ["emptying a box"], ["filling a box"]],
    [["putting on a coat"], ["taking off a coat", "removing a coat"], ["washing a coat"]],
    [["talking on the phone", "speaking on the telephone", "having a phone call"], ["looking at the phone"],
     ["breaking the phone"]],
    [["cooking pasta", "making pasta"], ["eating pasta"], ["buying pasta"], ["draining pasta"]],
    [["pouring milk into a glass", "filling a glass with milk"], ["pouring milk out of a glass"],
     ["drinking milk from a glass"], ["pouring water into a glass"]],
    [["kicking a ball"], ["throwing a ball", "tossing a ball"], ["catching a ball"], ["holding a ball"]],
    [["driving a car"], ["repairing a car", "fixing a car"], ["washing a car", "cleaning a car"], ["parking a car"]],
    [["reading a book"], ["writing a book"], ["closing a book"], ["reading a newspaper"]],
    [["walking up the stairs", "climbing the stairs"], ["walking down the stairs"], ["sitting on the stairs"]],
    [["standing up"], ["sitting down"], ["lying down"]],
    [["singing loudly"], ["singing quietly"], ["dancing on a stage"], ["singing on a stage"]],
    [["wearing a red shirt", "in a red shirt"], ["wearing a blue shirt"], ["wearing a red hat"], ["folding a red shirt"]],
    [["feeding a snake", "giving food to a snake"], ["chasing a snake"], ["killing a snake"]],
    [["paying the bill", "settling the bill"], ["disputing the bill"], ["printing the bill"]],
    [["approving the request", "accepting the request"], ["rejecting the request", "declining the request"],
     ["sending the request"]],
    [["loading a truck"], ["unloading a truck"], ["driving a truck"]],
    [["drawing a picture", "sketching a picture"], ["erasing a picture"], ["looking at a picture"], ["taking a picture"]],
]  # fmt: skip
PLACE = ["in the park", "on a street", "in the kitchen", "near a lake", "at night", "indoors", "outdoors", "on the snow",
         "in the snow", "in front of a house", "behind a house", "on a field", "next to a dog", "alone"]  # fmt: skip
TWO = [("chasing", "followed by"), ("following", ""), ("feeding", ""), ("hugging", ""), ("pushing", ""), ("teaching", ""),
       ("watching", ""), ("photographing", ""), ("paying", ""), ("calling", ""), ("beating", ""), ("helping", "")]  # fmt: skip


def _up(text: str) -> str:
    return text[0].upper() + text[1:]


def _be(who: str) -> str:
    many = ("two", "three", "several", "some", "many", "a lot")
    return "are" if who.startswith(many) else "is"


def caption_pairs(count: int, seed: int) -> Iterator[Pair]:
    rng = random.Random(seed)
    for _ in range(count):
        yield _roles(rng) if rng.random() < 0.15 else _caption(rng)


def _roles(rng: random.Random) -> Pair:
    one, two = rng.sample(WHO[:14], 2)
    verb = rng.choice(TWO)[0]
    done = {"chasing": "chased", "following": "followed", "feeding": "fed", "hugging": "hugged", "pushing": "pushed",
            "teaching": "taught", "watching": "watched", "photographing": "photographed", "paying": "paid",
            "calling": "called", "beating": "beaten", "helping": "helped"}[verb]  # fmt: skip
    a = f"{_up(one[0])} is {verb} {two[0]}"
    pick = rng.random()
    if pick < 0.3:
        return Pair(a, f"{_up(rng.choice(two))} is being {done} by {rng.choice(one)}", 1, "passive")
    if pick < 0.65:
        return Pair(a, f"{_up(two[0])} is {verb} {one[0]}", 0, "roles")
    return Pair(a, f"{_up(one[0])} is being {done} by {two[0]}", 0, "roles")


def _say(rng: random.Random, who: str, does: str, place: str) -> str:
    form = rng.random()
    where = f" {place}" if place else ""
    if form < 0.6:
        return f"{_up(who)} {_be(who)} {does}{where}"
    if form < 0.8:
        return f"There {_be(who)} {who} {does}{where}"
    if form < 0.9 and place:
        return f"{_up(place)}, {who} {_be(who)} {does}"
    return f"{_up(who)} {does}{where}"


def _caption(rng: random.Random) -> Pair:
    who, row = rng.choice(WHO), rng.choice(DOES)
    does = rng.choice(row)
    place = rng.choice(PLACE) if rng.random() < 0.5 else ""
    a = _say(rng, who[0], does[0], place)
    pick = rng.random()
    if pick < 0.42:
        label = rng.choice(who).replace("a ", "the ", 1) if rng.random() < 0.2 else rng.choice(who)
        return Pair(a, _say(rng, label, rng.choice(does), place), 1, "caption")
    if pick < 0.58:
        return Pair(a, _denied(rng, rng.choice(who), rng.choice(does), place), 0, "negation")
    if pick < 0.75:
        other = rng.choice([item for item in row if item is not does])
        return Pair(a, _say(rng, rng.choice(who), other[0], place), 0, "action")
    if pick < 0.9:
        other = rng.choice([item for item in WHO if item is not who])
        return Pair(a, _say(rng, other[0], rng.choice(does), place), 0, "who")
    other_place = rng.choice([item for item in PLACE if item != place])
    return Pair(a, _say(rng, rng.choice(who), rng.choice(does), other_place), 0, "place")


def _denied(rng: random.Random, who: str, does: str, place: str) -> str:
    where = f" {place}" if place else ""
    bare = who.split(" ", 1)[1] if who.split(" ")[0] in ("a", "an", "the") else who
    forms = [f"There is no {bare} {does}{where}", f"No {bare} is {does}{where}", f"{_up(who)} {_be(who)} not {does}{where}",
             f"Nobody is {does}{where}", f"{_up(who)} {_be(who)}n't {does}{where}"]  # fmt: skip
    return rng.choice(forms)


# -- questions with numbers ----------------------------------------------------------------------------

NUMBERED = """What is {n}% of {m}?|How much is {n} percent of {m}?|Calculate {n}% of {m}|{n} percent of {m} is how much?
How many {u} are {n} {v}?|Convert {n} {v} to {u}|{n} {v} in {u}|What is {n} {v} in {u}?
How do I send ${n} to {c}?|What is the best way to transfer {n} dollars to {c}?|I want to send ${n} to {c}. How?
What is the fee for a transfer of {n} euros?|How much do you charge to transfer {n} EUR?|What does it cost to transfer €{n}?
I am {k} years old. Can I {g}?|Can I {g} at {k}?|Can a {k} year old {g}?|Is {k} old enough to {g}?
Which laptop is best under ${n}?|What is the best laptop for less than {n} dollars?|Best laptops below ${n}
What is the weather in {c} on {d}?|How will the weather be in {c} on {d}?|Weather forecast for {c} on {d}
Who won the world cup in {y}?|Which team won the {y} world cup?|Who was the winner of the world cup in {y}?
What happened in {y}?|Which events took place in {y}?|What were the main events of {y}?
When is the next flight from {c} to {e}?|What time does the next plane from {c} to {e} leave?|Next flight {c} to {e}
How far is it from {c} to {e}?|What is the distance from {c} to {e}?|How many kilometres is it from {c} to {e}?
How long does the train from {c} to {e} take?|How much time does it take by train from {c} to {e}?
How do I convert {p} to {q}?|What is the best way to convert {p} to {q}?|How can I turn {p} into {q}?
Translate this from {l} to {r}|Can you translate this {l} text into {r}?|I need a translation from {l} into {r}
Is {n} a prime number?|Is the number {n} prime?|Can you tell me if {n} is prime?
What is {k} times {w}?|How much is {k} multiplied by {w}?|{k} x {w}|Multiply {k} by {w}
What is {n} minus {k}?|How much is {n} less {k}?|Subtract {k} from {n}
How many calories should I eat to lose {k} kg in {w} weeks?|To lose {k} kilograms in {w} weeks, how many calories should I eat?
Book a table for {w} at {t}|I need a table for {w} people at {t}|Reserve a table at {t} for {w}
Set an alarm for {t}|Wake me up at {t}|I need an alarm at {t}
How do I fix error {n}?|What does error code {n} mean and how do I fix it?|I get error {n}, how can I solve it?
What is new in version {w}.{k}?|Which features came with version {w}.{k}?|What changed in release {w}.{k}?
Summarise chapter {w} of the book|Give me a summary of chapter {w}|What happens in chapter {w}?
Write a {n} word essay about {b}|I need an essay of {n} words on {b}|Please write an essay about {b} in {n} words
Give me {w} examples of {b}|List {w} examples of {b}|Can you name {w} examples of {b}?
What is the interest on ${n} at {w}%?|How much interest do I get on {n} dollars at {w} percent?
My order {n} has not arrived|Order number {n} still hasn't come|I have not received order {n} yet
How many people can sit at a {k} inch table?|What is the seating capacity of a table of {k} inches?
Is it normal to sleep {w} hours a day?|Is sleeping {w} hours per day normal?
What was the GDP of {c} in {y}?|How big was {c}'s GDP in {y}?|GDP of {c} for {y}"""
POOL: dict[str, list[str]] = {
    "n": ["20", "50", "100", "150", "200", "250", "300", "404", "500", "503", "750", "1000", "1500", "2000", "5000",
          "10000", "97", "113"],
    "m": ["40", "60", "80", "120", "200", "400", "900"],
    "k": ["12", "13", "14", "15", "16", "17", "18", "21", "25", "30", "40", "48", "60"],
    "w": ["2", "3", "4", "5", "6", "7", "8", "9", "10"],
    "u": ["metres", "feet", "inches", "miles", "yards", "centimetres"],
    "v": ["kilometres", "kilograms", "hours", "acres", "litres", "pounds"],
    "c": ["India", "Germany", "Japan", "Brazil", "London", "Paris", "Boston", "Tokyo", "Delhi", "Rome"],
    "e": ["Chicago", "Madrid", "Vienna", "Sydney", "Dubai", "Oslo", "Lisbon"],
    "d": ["Monday", "Tuesday", "Friday", "Sunday", "3 March", "4 March", "12 May", "1 July", "New Year's Eve"],
    "y": ["1990", "1994", "1998", "2002", "2006", "2010", "2014", "2018", "2019", "2020", "2021"],
    "t": ["6 am", "7 am", "7 pm", "8 pm", "6:30 am", "noon", "9:15", "10 pm"],
    "p": ["a string", "a PDF", "a list", "JSON", "MP4", "a JPG", "CSV", "a Word file", "USD", "Celsius"],
    "q": ["an integer", "a Word document", "a tuple", "XML", "MP3", "a PNG", "Excel", "text", "EUR", "Fahrenheit"],
    "l": ["English", "French", "German", "Chinese"],
    "r": ["Spanish", "Italian", "Hindi", "Japanese"],
    "g": ["drive", "vote", "get a tattoo", "work", "open a bank account", "rent a car", "drink", "join the army"],
    "b": ["global warming", "dogs", "the French Revolution", "friendship", "renewable energy", "mammals", "metaphors"],
}  # fmt: skip


def number_pairs(count: int, seed: int) -> Iterator[Pair]:
    """Numbers, dates, units, places: one slot altered, or two slots the other way round."""
    rng = random.Random(seed)
    groups = [line.split("|") for line in NUMBERED.split("\n")]
    for _ in range(count):
        group = rng.choice(groups)
        values = {key: rng.choice(pool) for key, pool in POOL.items()}
        one, two = rng.choice(group), rng.choice(group)
        if rng.random() < 0.45:
            two = rng.choice([text for text in group if text != one])
            yield Pair(one.format(**values), two.format(**values), 1, "number wording")
            continue
        other = dict(values)
        used = [key for key in POOL if "{%s}" % key in group[0]]
        turned = [
            pair for pair in (("c", "e"), ("p", "q"), ("l", "r")) if pair[0] in used and pair[1] in used
        ]
        if turned and rng.random() < 0.5 and "far" not in group[0]:
            x, y = turned[0]
            other[x], other[y] = values[y], values[x]
        else:
            key = rng.choice(used)
            other[key] = rng.choice([value for value in POOL[key] if value != values[key]])
        yield Pair(one.format(**values), two.format(**other), 0, "number slot")
