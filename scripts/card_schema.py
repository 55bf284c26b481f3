"""Write the JSON schema of cards, docs/reference/card.schema.json, from the models in tfadv/files/cards.py.

python scripts/card_schema.py
"""

from pathlib import Path

from tfadv.files import cards

FILE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "card.schema.json"

if __name__ == "__main__":
    FILE.write_text(cards.schema(), encoding="utf-8")
