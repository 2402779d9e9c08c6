"""A small repository in several languages, written into a folder."""

from pathlib import Path

FILES = {
    "shop/cart.py": '''"""Shopping carts."""

from shop.prices import Price, add_tax


class Cart:
    """What a customer is about to buy."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, Price]] = []

    def add(self, article: str, count: int, price: Price) -> None:
        """Puts an article into the cart."""
        if count < 1:
            raise ValueError("count must be positive")
        self.lines.append((article, count, price))

    def total(self) -> Price:
        """The sum of all lines, tax included."""
        net = sum(count * price.cents for _, count, price in self.lines)
        return add_tax(Price(net))
''',
    "shop/prices.py": '''"""Money."""

from dataclasses import dataclass

TAX_PERCENT = 19


@dataclass(frozen=True)
class Price:
    """An amount of money in cents."""

    cents: int


def add_tax(price: Price) -> Price:
    """The price with value added tax, rounded down to a cent."""
    return Price(price.cents * (100 + TAX_PERCENT) // 100)
''',
    "web/checkout.ts": """import { sendOrder } from "./orders";

/** Validates the address form and submits the order to the server. */
export function submitCheckout(form: HTMLFormElement): Promise<Response> {
  const address = new FormData(form);
  if (!address.get("street")) {
    throw new Error("street is required");
  }
  return sendOrder(address);
}
""",
    "server/main.go": """package main

import "net/http"

// retryWithBackoff calls work until it succeeds, waiting longer after each failure.
func retryWithBackoff(work func() error, attempts int) error {
	var err error
	for i := 0; i < attempts; i++ {
		if err = work(); err == nil {
			return nil
		}
	}
	return err
}

func main() {
	http.ListenAndServe(":8080", nil)
}
""",
    "README.md": "# shop\n",
}


def write_shop(folder: Path) -> Path:
    """Writes the files and returns the folder."""
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder
