"""The tables of the starter model's small world: what is true in it, one line a thing.

Knows the facts and nothing of questions, phrasings, tokenizers or training. Edit a line here and
the next build teaches it; ``questions.py`` turns the tables into text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_PLURALS = {
    "wolf": "wolves",
    "deer": "deer",
    "mouse": "mice",
    "sheep": "sheep",
    "goose": "geese",
    "donkey": "donkeys",
    "husky": "huskies",
    "butterfly": "butterflies",
}
_UNCOUNTED = ("grain", "baked food", "dairy food", "sweet food", "drink")


def an(noun: str) -> str:
    """``noun`` with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def listed(text: str, separator: str | None = None) -> tuple[str, ...]:
    """The items of a list written as one string."""
    return tuple(text.split(separator))


def pairs(text: str, mark: str) -> tuple[tuple[str, str], ...]:
    """The pairs of a list written as one string: ``hot-cold big-small``."""
    return tuple((one, other) for one, _, other in (item.partition(mark) for item in text.split()))


@dataclass(frozen=True, slots=True)
class Thing:
    """One row of a table: its name, the table's name, and column name -> value."""

    name: str
    group: str
    facts: Mapping[str, str]

    @property
    def _bare(self) -> bool:
        """Whether the name takes no article: countries, and food that is not counted."""
        return self.group == "country" or self.facts.get("kind", "") in _UNCOUNTED

    @property
    def plural(self) -> str:
        """The name of many: ``foxes``."""
        ending = "es" if self.name.endswith(("s", "x", "ch", "sh")) else "s"
        return _PLURALS.get(self.name, f"{self.name}{ending}")

    @property
    def a(self) -> str:
        """The name with its indefinite article: ``an owl``, ``rice``."""
        return self.name if self._bare else an(self.name)

    @property
    def the(self) -> str:
        """The name with its definite article: ``the owl``, ``rice``, ``Peru``."""
        return self.name if self._bare else f"the {self.name}"


def _table(group: str, columns: str, text: str) -> tuple[Thing, ...]:
    """Parse lines ``name: value | value`` into things; a line of the wrong width is an error."""
    names = columns.split()
    things = []
    for line in text.strip().splitlines():
        name, _, rest = line.partition(":")
        values = [value.strip() for value in rest.split("|")]
        if len(values) != len(names):
            raise ValueError(f"{group} table, line {line!r}: expected {len(names)} values")
        facts = MappingProxyType(dict(zip(names, values, strict=True)))
        things.append(Thing(name.strip(), group, facts))
    return tuple(things)


# `rank` orders things by size for comparisons; it is never spoken.
ANIMALS = _table(
    "animal",
    "kind colour size rank home food sound can",
    """
fox: wild animal | red | small | 5 | in the forest | mice | barks | run fast
wolf: wild animal | grey | big | 7 | in the forest | deer | howls | hunt at night
bear: wild animal | brown | very big | 9 | in the mountains | honey | growls | climb trees
deer: wild animal | brown | big | 8 | in the forest | grass | bleats | jump over fences
hare: wild animal | brown | small | 4 | in the field | clover | squeaks | run in circles
mouse: small animal | grey | tiny | 2 | in the house | cheese | squeaks | hide in a hole
hedgehog: small animal | brown | small | 3 | in the garden | worms | snuffles | roll into a ball
squirrel: small animal | red | small | 3 | in the trees | nuts | chatters | climb very well
badger: wild animal | black and white | small | 5 | under the ground | roots | grunts | dig tunnels
otter: water animal | brown | small | 5 | in the river | fish | whistles | swim and dive
beaver: water animal | brown | small | 5 | in the river | bark | slaps its tail | build dams
lion: wild animal | yellow | very big | 9 | in the savanna | meat | roars | sleep all day
tiger: wild animal | orange | very big | 9 | in the jungle | meat | roars | swim very well
elephant: wild animal | grey | huge | 11 | in the savanna | leaves | trumpets | remember everything
monkey: wild animal | brown | small | 5 | in the jungle | bananas | screams | swing from trees
camel: working animal | brown | very big | 9 | in the desert | dry grass | groans | walk without water
horse: farm animal | brown | very big | 9 | in the stable | hay | neighs | pull a cart
cow: farm animal | black and white | very big | 9 | on the farm | grass | moos | give milk
sheep: farm animal | white | big | 7 | on the farm | grass | bleats | give wool
goat: farm animal | white | big | 7 | in the mountains | leaves | bleats | climb rocks
pig: farm animal | pink | big | 7 | on the farm | corn | grunts | find mushrooms
donkey: working animal | grey | big | 8 | in the stable | hay | brays | carry bags
cat: pet | black | small | 4 | in the house | fish | meows | catch mice
rabbit: pet | white | small | 4 | in the garden | carrots | thumps | dig holes
hamster: pet | golden | tiny | 2 | in a cage | seeds | squeaks | run in a wheel
parrot: bird | green | small | 4 | in the jungle | fruit | talks | copy words
owl: bird | brown | small | 4 | in the trees | mice | hoots | see in the dark
crow: bird | black | small | 4 | on the roof | seeds | caws | solve puzzles
eagle: bird | brown | big | 6 | in the mountains | rabbits | screams | fly very high
duck: bird | green | small | 4 | on the lake | bread | quacks | swim and fly
goose: bird | white | small | 5 | on the farm | grass | honks | guard the house
penguin: bird | black and white | small | 5 | on the ice | fish | honks | swim under water
frog: water animal | green | tiny | 2 | in the pond | flies | croaks | jump far
turtle: water animal | green | small | 4 | in the sea | seaweed | hisses | live very long
whale: sea animal | blue | huge | 12 | in the sea | small fish | sings | dive very deep
dolphin: sea animal | grey | big | 8 | in the sea | fish | clicks | jump out of the water
shark: sea animal | grey | very big | 10 | in the sea | fish | makes no sound | smell blood
bee: insect | yellow | tiny | 1 | in the hive | nectar | buzzes | make honey
ant: insect | black | tiny | 1 | under the ground | crumbs | makes no sound | carry heavy things
butterfly: insect | orange | tiny | 1 | in the garden | nectar | makes no sound | fly from flower to flower
poodle: dog | white | small | 5 | in the city | meat | yaps | learn tricks
beagle: dog | brown and white | small | 5 | in the house | meat | howls | follow a smell
collie: dog | black and white | big | 6 | on the farm | meat | barks | guard sheep
terrier: dog | white | small | 4 | in the house | meat | yaps | catch rats
husky: dog | grey | big | 7 | in the snow | fish | howls | pull a sled
spaniel: dog | golden | small | 5 | in the house | meat | barks | fetch birds
bulldog: dog | white | small | 5 | in the city | meat | snores | sleep anywhere
dachshund: dog | brown | small | 4 | in the house | sausages | barks | dig holes
labrador: dog | yellow | big | 7 | in the house | meat | barks | guide the blind
""",  # noqa: E501
)

FOODS = _table(
    "food",
    "kind colour taste shape source",
    """
apple: fruit | red | sweet | round | grows on a tree
banana: fruit | yellow | sweet | long | grows on a tall plant
lemon: fruit | yellow | sour | oval | grows on a tree
orange: fruit | orange | sweet | round | grows on a tree
cherry: fruit | red | sweet | round | grows on a tree
plum: fruit | purple | sweet | oval | grows on a tree
pear: fruit | green | sweet | wide at the bottom | grows on a tree
grape: fruit | purple | sweet | round | grows on a vine
strawberry: fruit | red | sweet | like a heart | grows on the ground
melon: fruit | green | sweet | round | grows on the ground
carrot: vegetable | orange | sweet | long | grows under the ground
potato: vegetable | brown | plain | oval | grows under the ground
onion: vegetable | white | sharp | round | grows under the ground
radish: vegetable | red | sharp | round | grows under the ground
cabbage: vegetable | green | plain | round | grows in the field
tomato: vegetable | red | sweet | round | grows on a vine
pepper: vegetable | red | hot | hollow | grows on a small plant
cucumber: vegetable | green | fresh | long | grows on a vine
spinach: vegetable | green | bitter | flat | grows in the field
pumpkin: vegetable | orange | sweet | round | grows on the ground
rice: grain | white | plain | tiny and long | grows in wet fields
wheat: grain | golden | plain | tiny and oval | grows in dry fields
bread: baked food | brown | plain | like a loaf | comes from the baker
cake: baked food | brown | sweet | round | comes from the baker
cheese: dairy food | yellow | salty | like a wheel | comes from milk
butter: dairy food | yellow | creamy | like a block | comes from milk
honey: sweet food | golden | very sweet | without any shape | comes from bees
chocolate: sweet food | brown | bitter and sweet | like a bar | comes from cocoa beans
tea: drink | brown | bitter | like its cup | comes from dried leaves
milk: drink | white | mild | like its glass | comes from cows
""",
)

TOOLS = _table(
    "tool",
    "kind use material owner place",
    """
hammer: tool | drive nails | steel and wood | carpenter | in the toolbox
saw: tool | cut wood | steel | carpenter | on the wall
drill: tool | make holes | steel | builder | in the toolbox
shovel: tool | dig holes | iron and wood | gardener | in the shed
rake: tool | gather leaves | iron and wood | gardener | in the shed
axe: tool | split logs | iron and wood | woodcutter | in the shed
needle: tool | sew cloth | steel | tailor | in the sewing box
chisel: tool | carve wood | steel | carpenter | on the wall
knife: kitchen tool | cut food | steel | cook | in the drawer
spoon: kitchen tool | eat soup | silver | cook | in the drawer
kettle: kitchen tool | boil water | copper | cook | on the stove
oven: kitchen tool | bake bread | iron | baker | in the kitchen
broom: tool | sweep the floor | straw and wood | cleaner | behind the door
ladder: tool | climb up high | wood | painter | in the shed
brush: tool | paint walls | hair and wood | painter | in the bucket
pen: tool | write letters | plastic | writer | on the desk
lamp: household thing | light the room | glass | reader | on the desk
clock: household thing | tell the time | brass | watchmaker | on the wall
mirror: household thing | see your face | glass | barber | on the wall
umbrella: household thing | stay dry in the rain | cloth | walker | by the door
compass: instrument | find the north | brass | sailor | on the ship
telescope: instrument | look at the stars | glass and brass | astronomer | on the roof
violin: musical instrument | play music | wood | musician | in its case
drum: musical instrument | beat the time | wood and skin | musician | on the stage
net: tool | catch fish | rope | fisher | on the boat
""",
)

PLANTS = _table(
    "plant",
    "kind colour size rank home season",
    """
rose: flower | red | small | 3 | in the garden | in summer
tulip: flower | yellow | small | 2 | in the garden | in spring
daisy: flower | white | tiny | 1 | in the meadow | in spring
sunflower: flower | yellow | big | 5 | in the field | in summer
lavender: flower | purple | small | 2 | on dry hills | in summer
lily: flower | white | small | 3 | by the pond | in summer
oak: tree | green | huge | 9 | in the forest | in spring
pine: tree | dark green | huge | 9 | in the mountains | all year
birch: tree | white | very big | 8 | by the river | in spring
willow: tree | green | very big | 8 | by the lake | in spring
maple: tree | red | very big | 8 | in the park | in autumn
cactus: desert plant | green | big | 5 | in the desert | after the rain
moss: small plant | green | tiny | 1 | on wet stones | all year
ivy: climbing plant | green | big | 5 | on old walls | all year
""",
)

VEHICLES = _table(
    "vehicle",
    "kind colour size rank place use wheels",
    """
bicycle: vehicle | blue | small | 3 | on the path | go to school | two
car: vehicle | red | big | 5 | on the road | visit friends | four
bus: vehicle | yellow | very big | 7 | on the road | carry many people | six
truck: vehicle | white | very big | 7 | on the road | move heavy boxes | six
train: vehicle | green | huge | 9 | on the rails | travel between cities | many
tram: vehicle | red | very big | 8 | on the rails | cross the city | eight
boat: vehicle | white | big | 6 | on the water | cross the lake | no
ship: vehicle | grey | huge | 10 | on the water | cross the sea | no
plane: vehicle | silver | huge | 9 | in the air | fly over the sea | three
rocket: vehicle | white | huge | 10 | in space | reach the moon | no
sled: vehicle | brown | small | 3 | on the snow | slide down a hill | no
tractor: vehicle | green | big | 6 | on the field | pull the plough | four
""",
)

JOBS = _table(
    "job",
    "does place tool",
    """
baker: bakes bread | in a bakery | an oven
farmer: grows food | on a farm | a tractor
doctor: helps sick people | in a hospital | a stethoscope
teacher: teaches children | in a school | a blackboard
carpenter: builds tables | in a workshop | a hammer
gardener: cares for plants | in a garden | a shovel
tailor: sews clothes | in a shop | a needle
cook: cooks meals | in a kitchen | a knife
sailor: steers ships | on the sea | a compass
pilot: flies planes | in the air | a radio
painter: paints walls | in old houses | a brush
musician: plays music | on a stage | a violin
fisher: catches fish | on a boat | a net
miner: digs for coal | under the ground | a drill
barber: cuts hair | in a barber shop | a pair of scissors
librarian: lends books | in a library | a catalogue
astronomer: watches the stars | in an observatory | a telescope
""",
)

COUNTRIES = _table(
    "country",
    "capital river continent language famous",
    """
France: Paris | Seine | Europe | French | its bread and cheese
Italy: Rome | Tiber | Europe | Italian | its pasta
Spain: Madrid | Tagus | Europe | Spanish | its dances
Germany: Berlin | Rhine | Europe | German | its cars
Austria: Vienna | Danube | Europe | German | its music
Poland: Warsaw | Vistula | Europe | Polish | its forests
England: London | Thames | Europe | English | its tea
Ireland: Dublin | Shannon | Europe | English | its green hills
Portugal: Lisbon | Douro | Europe | Portuguese | its sailors
Hungary: Budapest | Danube | Europe | Hungarian | its hot baths
Egypt: Cairo | Nile | Africa | Arabic | its pyramids
Sudan: Khartoum | Nile | Africa | Arabic | its deserts
Ghana: Accra | Volta | Africa | English | its cocoa
Japan: Tokyo | Shinano | Asia | Japanese | its gardens
China: Beijing | Yangtze | Asia | Chinese | its great wall
India: Delhi | Ganges | Asia | Hindi | its spices
Vietnam: Hanoi | Mekong | Asia | Vietnamese | its rice fields
Iraq: Baghdad | Tigris | Asia | Arabic | its old cities
Canada: Ottawa | Yukon | America | English | its maple trees
Brazil: Brasilia | Amazon | America | Portuguese | its rain forest
Peru: Lima | Amazon | America | Spanish | its mountains
Mexico: Mexico City | Rio Grande | America | Spanish | its old temples
""",
)

GROUPS = (ANIMALS, FOODS, TOOLS, PLANTS, VEHICLES, JOBS, COUNTRIES)
THINGS: tuple[Thing, ...] = tuple(thing for group in GROUPS for thing in group)

OPPOSITES: tuple[tuple[str, str], ...] = pairs(
    "hot-cold big-small fast-slow day-night light-dark up-down left-right open-closed full-empty "
    "happy-sad new-old high-low hard-soft wet-dry long-short thick-thin rich-poor strong-weak "
    "loud-quiet clean-dirty early-late near-far true-false good-bad first-last start-finish "
    "buy-sell push-pull in-out wide-narrow deep-shallow rough-smooth sweet-sour brave-afraid "
    "awake-asleep alive-dead easy-difficult cheap-expensive summer-winter north-south east-west "
    "question-answer friend-enemy love-hate win-lose laugh-cry come-go give-take remember-forget "
    "arrive-leave",
    "-",
)

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = listed(
    "January February March April May June July August September October November December"
)

FILES = listed(
    "notes.txt report.txt todo.txt data.csv main.py readme.md song.mp3 photo.jpg list.txt "
    "letter.txt plan.md budget.csv"
)
FOLDERS = listed("docs music photos backup work games projects data archive letters tests src")

NAMES = listed(
    "Ada Tom Mia Ben Eva Leo Lea Max Zoe Sam Ida Jan Nora Paul Rosa Otto Lily Hugo Vera Finn Emma "
    "Karl Clara Noah"
)
