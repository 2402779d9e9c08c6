"""A small code base in three languages, from which every kind of question can be made."""

from nearcode.evaluation.commits import Commit

ENCODED = "Turns the words of a customer into the short form that the archive keeps."

PYTHON = f'''"""The archive."""

import json

from shop.prices import discounted_price


def encode_words(words, alphabet):
    """{ENCODED}

    Args:
        words: what was said.
    """
    short = []
    for word in words:
        if word in alphabet:
            short.append(alphabet[word])
        else:
            short.append(word)
    return short


class Archive:
    """Keeps what customers have said until the law lets us forget it."""

    def __init__(self, folder):
        self.folder = folder
        self.kept = {{}}

    def total(self, basket):
        amount = 0
        for item in basket:
            amount += item.price
        season = self.folder
        reduced = discounted_price(amount, season)
        archive = SEASON_RATES
        rounded = round(reduced)
        return rounded, archive
'''

PRICES = '''def discounted_price(amount, season):
    """Lowers an amount by what the season of the year allows."""
    rate = SEASON_RATES.get(season, 0)
    reduced = amount * (1 - rate)
    rounded = round(reduced, 2)
    return rounded


SEASON_RATES = {"summer": 0.1}
'''

TYPESCRIPT = """import { seasonLabel } from './labels';

/**
 * Shows a basket to the customer with every discount spelled out.
 * @param basket what was chosen
 */
export function renderBasket(basket: Basket, season: string): string {
  const rows: string[] = [];
  for (const item of basket.items) {
    rows.push(item.name);
  }
  const label = seasonLabel(season);
  rows.push(label);
  return rows.join('');
}
"""

LABELS = """export function seasonLabel(season: string): string {
  const first = season.charAt(0);
  const rest = season.slice(1);
  return first + rest;
}
"""

GO = """package store

// OpenLedger reads the ledger of a year from the disk and checks its sums.
func OpenLedger(path string) (*Ledger, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return parse(data)
}
"""

TESTS = '''def test_words():
    """Checks that the words of a customer are kept for long enough."""
    first = 1
    second = 2
    assert first < second
'''

FILES: dict[str, bytes] = {
    "shop/archive.py": PYTHON.encode(),
    "shop/prices.py": PRICES.encode(),
    "web/basket.ts": TYPESCRIPT.encode(),
    "web/labels.ts": LABELS.encode(),
    "store/ledger.go": GO.encode(),
    "tests/test_archive.py": TESTS.encode(),
}


def commit(message: str, *paths: str, author: str = "Ann <ann@shop.example>", parents: tuple[str, ...] = ("p",)) -> Commit:
    return Commit(f"c{abs(hash((message, paths)))}", author, parents, message, paths)
