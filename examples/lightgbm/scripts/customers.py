"""Write data/customers.csv: 600 customers who never were. The same file wherever it is run."""

import csv
import math
import random
from pathlib import Path

chance = random.Random(7)
target = Path(__file__).parents[1] / "data" / "customers.csv"
target.parent.mkdir(exist_ok=True)
with target.open("w", newline="", encoding="utf-8") as file:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["months", "calls", "bill", "complaints", "left"])
    for _ in range(600):
        months, calls = chance.randint(1, 72), chance.randint(0, 300)
        bill, complaints = round(chance.uniform(8, 90), 2), min(5, int(chance.expovariate(1.2)))
        leaning = 1.5 * complaints + bill / 30 - months / 12 - calls / 200
        table.writerow(
            [months, calls, bill, complaints, int(chance.random() < 1 / (1 + math.exp(-2 * leaning)))]
        )
