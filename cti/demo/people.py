"""The invented customers of the invented company: who lives where, with which lines, under which numbers. Pure values.

The first ones are written by hand, because the story and the demo callers need them as they are; the rest comes out of
a seeded generator and is the same every time. Numbers lie in 555 ranges, foreign ones in ranges kept free for films.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

SEED = 20260101
FURTHER = 40  # households besides those written by hand


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody under a roof, with his own ways to be reached."""

    name: str
    role: str = "holder"  # holder | spouse | child | parent
    mobile: str = ""  # E.164; empty: none of his own
    uses: bool = False  # the mobile is in somebody else's name
    email: str = ""
    handle: str = ""
    birth_date: str | None = None
    language: str = "tr"

    @property
    def chat(self) -> str:
        """How the chat on the company's web site knows him; empty without an e-mail address."""
        return f"web-{self.email.partition('@')[0]}" if self.email else ""


@dataclass(frozen=True, kw_only=True)
class Home:
    """Who shares one connection. `people` begins with the holder. `line`: the landline's number, carried by the internet
    line; empty: none."""

    label: str
    area: str
    address: str
    number: str  # of the internet subscription
    people: tuple[Person, ...]
    kind: str = "dsl"  # dsl | fibre
    line: str = ""
    tags: str = ""
    shared: tuple[str, ...] = ()  # numbers that other, unrelated homes give too
    organisation: bool = False


CARETAKER = "+902165550200"  # the site office from which three unrelated customers call

STORY = Home(
    label="Yılmaz ailesi, Moda",
    area="Kadıköy-3",
    address="Moda Caddesi 12/4, Kadıköy, İstanbul",
    number="DSL-100101",
    line="+902125550101",
    people=(
        Person(
            name="Mehmet Yılmaz",
            mobile="+905325550123",
            email="mehmet.yilmaz@example.com",
            handle="@mehmetyilmaz_ornek",
            birth_date="1980-04-23",
        ),
        Person(name="Elif Yılmaz", role="spouse", mobile="+905335550145", uses=True, birth_date="1984-09-02"),
    ),
)
IN_OUTAGE = Home(
    label="Kaya ailesi, Ümraniye",
    area="Ümraniye-1",
    address="Alemdağ Caddesi 88/7, Ümraniye, İstanbul",
    number="DSL-100161",
    line="+902165550161",
    people=(
        Person(name="Zeynep Kaya", mobile="+905365550161", email="zeynep.kaya@example.com", birth_date="1991-01-17"),
    ),
)
FOREIGN = Home(
    label="Schneider, Beyoğlu",
    area="Beyoğlu-2",
    address="İstiklal Caddesi 201/3, Beyoğlu, İstanbul",
    number="FBR-100314",
    kind="fibre",
    people=(Person(name="Jürgen Schneider", mobile="+493023125014", email="j.schneider@example.com", language="en"),),
)
COMPANY = Home(
    label="Boğaz Örnek Lojistik A.Ş.",
    area="Şişli-4",
    address="Büyükdere Caddesi 140, Şişli, İstanbul",
    number="FBR-100300",
    kind="fibre",
    line="+902125550300",
    tags="vip",
    organisation=True,
    people=(Person(name="Boğaz Örnek Lojistik A.Ş.", mobile="+905325550300", email="bilgi@lojistik.example.com"),),
)
SITE = tuple(
    Home(
        label=f"{name.split()[-1]} ailesi, Çamlık Sitesi",
        area="Ataşehir-2",
        address=f"Çamlık Sitesi {block} Blok {flat}, Ataşehir, İstanbul",
        number=number,
        people=(Person(name=name, mobile=mobile),),
        shared=(CARETAKER,),
    )
    for name, block, flat, number, mobile in (
        ("Hüseyin Arslan", "A", "3", "DSL-100201", "+905375550201"),
        ("Şule Özdemir", "B", "11", "DSL-100202", "+905385550202"),
        ("İbrahim Güneş", "C", "7", "DSL-100203", "+905395550203"),
    )
)
BY_HAND = (STORY, IN_OUTAGE, FOREIGN, COMPANY, *SITE)

WOMEN = (
    "Ayşe", "Fatma", "Emine", "Hatice", "Zeynep", "Elif", "Meryem", "Şerife", "Merve", "Gülşen", "Özlem", "Selin",
    "Büşra", "Nurcan", "Çiğdem", "İpek", "Ebru", "Sevgi", "Derya", "Gamze",
)  # fmt: skip
MEN = (
    "Ali", "Mustafa", "Ahmet", "Hasan", "İsmail", "Ömer", "Yusuf", "Murat", "Ramazan", "Osman", "Çağrı", "Emre", "Kemal",
    "Uğur", "Barış", "Serkan", "Tuncay", "Gökhan", "Volkan", "Rıza",
)  # fmt: skip
SURNAMES = (
    "Kaya", "Demir", "Şahin", "Çelik", "Yıldız", "Yıldırım", "Öztürk", "Aydın", "Özdemir", "Arslan", "Doğan", "Kılıç",
    "Aslan", "Çetin", "Kara", "Koç", "Kurt", "Özkan", "Şimşek", "Polat", "Korkmaz", "Çakır", "Erdoğdu", "Güler", "Bulut",
    "Işık", "Turan", "Avcı", "Tekin", "Karaca",
)  # fmt: skip
AREAS = (
    ("Kadıköy-1", "Bahariye Caddesi", "216"), ("Kadıköy-3", "Moda Caddesi", "216"),
    ("Üsküdar-2", "Hakimiyeti Milliye Caddesi", "216"), ("Beşiktaş-1", "Barbaros Bulvarı", "212"),
    ("Şişli-4", "Halaskargazi Caddesi", "212"), ("Bakırköy-2", "İncirli Caddesi", "212"),
    ("Fatih-3", "Vatan Caddesi", "212"), ("Ümraniye-1", "Alemdağ Caddesi", "216"), ("Maltepe-2", "Bağdat Caddesi", "216"),
)  # fmt: skip
OPERATORS = ("530", "531", "532", "533", "535", "536", "541", "542", "543", "544", "552", "553")
YEARS_OF_BIRTH = {"child": (2001, 2007), "parent": (1942, 1955)}
ASCII = str.maketrans("çğıöşüÇĞİÖŞÜ", "cgiosuCGIOSU")


def homes() -> tuple[Home, ...]:
    """Every customer of the demo company."""
    chance = random.Random(SEED)
    return (*BY_HAND, *(_home(chance, each) for each in range(FURTHER)))


def _home(chance: random.Random, count: int) -> Home:
    area, street, code = AREAS[count % len(AREAS)]
    surname = chance.choice(SURNAMES)
    kind = "fibre" if chance.random() < 0.4 else "dsl"
    return Home(
        label=f"{surname} ailesi, {area.partition('-')[0]}",
        area=area,
        address=f"{street} {chance.randint(1, 190)}/{chance.randint(1, 24)}, {area.partition('-')[0]}, İstanbul",
        number=f"{'FBR' if kind == 'fibre' else 'DSL'}-{101000 + count}",
        kind=kind,
        line=f"+90{code}555{1000 + count:04d}" if chance.random() < 0.6 else "",
        people=tuple(_family(chance, surname, count)),
    )


def _family(chance: random.Random, surname: str, count: int) -> Iterator[Person]:
    """A holder; often a partner; now and then a grown child or a mother."""
    firsts = [chance.choice(MEN), chance.choice(WOMEN)]
    chance.shuffle(firsts)
    roles = ["holder"]
    if chance.random() < 0.65:
        roles.append("spouse")
    if chance.random() < 0.2:
        roles.append(chance.choice(("child", "parent")))
        firsts.append(chance.choice([each for each in WOMEN + MEN if each not in firsts]))
    for place, role in enumerate(roles):
        name = f"{firsts[place]} {surname}"
        first_year, last_year = YEARS_OF_BIRTH.get(role, (1965, 1992))
        yield Person(
            name=name,
            role=role,
            mobile=f"+90{chance.choice(OPERATORS)}555{2000 + 3 * count + place:04d}",
            uses=role == "spouse" and chance.random() < 0.5,
            email=f"{name.translate(ASCII).lower().replace(' ', '.')}{count}@example.com"
            if chance.random() < 0.7
            else "",
            handle=f"@{name.translate(ASCII).lower().replace(' ', '_')}_{count}" if chance.random() < 0.2 else "",
            birth_date=f"{chance.randint(first_year, last_year)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}",
        )
