"""Titles of lots in the words of each trade, and the slugs and prices of categories."""

import re
from itertools import chain, zip_longest

import numpy as np

from angle_reco.simulation.columns import Int64s, Texts


def slug(number: int) -> str:
    """Return the id of a category; beyond the number of trades, ids are numbered."""
    again, trade = divmod(number, len(_SLUGS))
    return f"{_SLUGS[trade]}-{again + 1}" if again else _SLUGS[trade]


def titles_in(rng: np.random.Generator, category: Int64s) -> Texts:
    """Return a title for each lot, in the words of its category's trade."""
    titles: Texts = np.full(len(category), "", dtype=object)
    trade = category % len(_SLUGS)
    for part in zip_longest(*_PARTS, fillvalue=[""]):
        counts = np.array([len(words) for words in part])
        before = np.cumsum(counts) - counts
        chosen = before[trade] + (rng.random(len(category)) * counts[trade]).astype(np.int64)
        titles += np.array(list(chain.from_iterable(part)), dtype=object)[chosen]
    return np.array([title.lstrip() for title in titles], dtype=object)


def _alternatives(part: str) -> list[str]:
    """Return the alternatives of a part of a title, from "||, boxed" or ", 1963..1989"."""
    if numbers := re.fullmatch(r"(.*?)(\d+)\.\.(\d+)", part):
        words = [f"{numbers[1]}{n}" for n in range(int(numbers[2]), int(numbers[3]) + 1)]
    else:
        words = part.split("|")
    return [word if word[:1] in {"", ",", ":"} else f" {word}" for word in words]


# Of each trade: the slug of its category, the median starting price, and the parts of a title with
# their alternatives. An alternative that begins with a comma or colon follows without a space.
_TRADES = """
watches 450:
  Omega Seamaster|Omega Speedmaster|Rolex Datejust|Longines Conquest|IWC Ingenieur|Heuer Carrera
  + , 1963..1989 + ||, serviced|with box and papers|, steel bracelet
cameras 180:
  Leica M4|Nikon F|Hasselblad 500 C/M|Rolleiflex 2.8 F|Canon AE-1|Olympus OM-1|Polaroid SX-70
  + , black|, chrome|, two-tone + ||in leather case|, serviced|, boxed|, for repair
vinyl-records 18:
  Kind of Blue|Pastel Blues|Animals|Autobahn|Rumours|Blue Train|Horses|Low|Aja|Harvest|Tapestry
  + , LP|, stereo LP|, mono LP|, double LP
  + ||, first pressing|, sealed|, signed sleeve|, test pressing|, promo copy
furniture 240: Walnut|Oak|Teak|Mahogany|Cherry|Rosewood|Elm
  + writing desk|sideboard|armchair|bookcase|dining table|chest of drawers|coffee table
  + ||, 1960s|, restored|, Danish|, French polish
books 45: First-edition|Signed|Leather-bound|Illustrated|Numbered
  + Steinbeck|Hemingway|Woolf|Kafka|Camus|Brontë|Calvino|Blixen|Kästner|Lem|Borges
  + ||with dust jacket|in slipcase|, ex-library
coins 70: Silver dollar|Gold sovereign|Silver crown|Gold 20-franc piece|Bronze penny|Silver rouble
  + , 1874..1912 + ||, proof|, nearly mint|, very fine
stamps 22: Airmail set|Commemorative block|Mint sheet|First-day cover|Charity series|Postage-due set
  + , Switzerland|, Japan|, Iceland|, Brazil|, Portugal|, Norway + , 1926..1962
guitars 780:
  Fender Stratocaster|Gibson Les Paul|Gibson ES-335|Martin D-28|Rickenbacker 330|Guild D-40
  + , 1968..1994 + ||, sunburst|with hard case|, refretted
jewellery 320: Gold|White-gold|Rose-gold|Platinum|Silver + ring|brooch|pendant|bracelet|necklace
  + with sapphire|with pearls|with garnets|with opal|with diamonds|, Art Deco
comics 28: Batman|Superman|Action Comics|X-Men|Daredevil|Wonder Woman|The Avengers + no. 101..168
  + ||, near mint|, very fine|, signed
paintings 420: Oil on canvas|Watercolour|Gouache|Pastel|Ink drawing|Etching
  + : harbour at dusk|: winter orchard|: still life with lemons|: Alpine lake|: street in the rain
  + ||, framed|, signed|, c. 1920
ceramics 65: Meissen|Royal Copenhagen|Delft|Sèvres|Wedgwood|Rosenthal|Arita
  + vase|teapot|dinner plate|figurine|tureen|fruit bowl|cup and saucer
  + ||, hand-painted|, small chip|, signed
toys 35: Tin robot|Steiff bear|Märklin locomotive|Wooden rocking horse|Dinky Toys lorry|Dolls' house
  + ||, boxed|, 1950s|, well loved|, one careful owner
wine 85: Château Margaux|Barolo|Vintage port|Rioja Gran Reserva|Riesling Auslese|Tokaji Aszú
  + , 1985..2016 + , one bottle|, magnum|, case of six|, three bottles
handbags 380: Hermès|Chanel|Gucci|Mulberry|Loewe|Céline
  + leather tote|shoulder bag|clutch|crossbody bag|top-handle bag
  + , black|, cognac|, burgundy|, navy|with dust bag
clocks 190: Carriage|Mantel|Longcase|Cuckoo|Wall|Skeleton|Travel
  + clock, brass|clock, walnut case|clock, eight-day|clock, striking|clock, for repair
posters 110: "Vertigo"|"Metropolis"|"La Dolce Vita"|"Casablanca"|"Playtime"|"Rear Window"
  + film poster|lobby card|cinema placard + ||, linen-backed|, framed|, folded|, re-release
lamps 120: Brass|Chrome|Murano glass|Opaline|Tiffany-style|Bauhaus
  + desk lamp|floor lamp|chandelier|wall light|table lamp + ||, rewired|, 1930s|, 1970s
synthesizers 850: Minimoog|Roland Juno-106|Korg MS-20|Yamaha DX7|Prophet-5|ARP Odyssey|Roland SH-101
  + ||, serviced|with manual|with flight case|, one key sticky
rugs 360: Persian|Anatolian|Caucasian|Moroccan|Turkmen|Kurdish
  + wool rug|kilim|runner|prayer rug|saddle bag
  + ||, red ground|, indigo ground|, natural dyes|, restored fringe
silverware 160: Sterling silver|Georgian silver|Victorian silver|Danish silver|Silver-plated
  + teapot|cutlery set|pair of candlesticks|sugar bowl|tray|soup ladle
  + ||, monogrammed|, hallmarked|in fitted case
bicycles 290: Bianchi|Peugeot|Raleigh|Gazelle|Colnago|Pinarello
  + road bike|touring bike|track frame|city bike + , 54 cm|, 56 cm|, 58 cm|, restored|, 1980s
maps 95: Map of Tuscany|Sea chart of the Baltic|Plan of Vienna|Map of Iceland|Celestial chart
  + , 1690..1870 + ||, hand-coloured|, framed|, copperplate
scientific-instruments 210: Brass|Lacquered brass|Mahogany-cased|Victorian|Naval
  + microscope|sextant|theodolite|barometer|telescope|pocket compass
  + ||, London|, Paris|, Jena|, Dublin
"""
_SLUGS, _PRICES, _BODIES = zip(
    *re.findall(r"^([\w-]+) (\d+):\s+((?:.|\n )+)$", _TRADES, re.MULTILINE), strict=True
)
MEDIAN_CENTS = 100 * np.array([int(price) for price in _PRICES])
_PARTS = [[_alternatives(part) for part in re.split(r"\s+\+ ", body)] for body in _BODIES]
