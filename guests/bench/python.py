"""What Python programs spend their time on: calls, attributes, dictionaries, strings, lists, floats, regular expressions."""

import json
import re


class Queens:
    def __init__(self, size):
        self.size = size
        self.columns = set()
        self.up = set()
        self.down = set()

    def count(self, row=0):
        if row == self.size:
            return 1
        found = 0
        for column in range(self.size):
            up, down = row + column, row - column
            if column in self.columns or up in self.up or down in self.down:
                continue
            self.columns.add(column)
            self.up.add(up)
            self.down.add(down)
            found += self.count(row + 1)
            self.columns.discard(column)
            self.up.discard(up)
            self.down.discard(down)
        return found


def words(count):
    state = 42
    out = []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append("w%d" % (state >> 52))
    return out


def frequencies(text):
    table = {}
    for word in text:
        table[word] = table.get(word, 0) + 1
    return sorted(table.items(), key=lambda item: (-item[1], item[0]))


def pi(terms):
    total, sign = 0.0, 1.0
    for n in range(terms):
        total += sign / (2 * n + 1)
        sign = -sign
    return 4 * total


def sieve(limit):
    flags = bytearray([1]) * limit
    for i in range(2, int(limit**0.5) + 1):
        if flags[i]:
            flags[i * i :: i] = bytes(len(range(i * i, limit, i)))
    return sum(flags) - 2


text = words(60000)
top = frequencies(text)
joined = " ".join(text)
print("queens", Queens(7).count())
print("frequencies", top[:3], len(top))
print("pi %.10f" % pi(300000))
print("sieve", sieve(300000))
print("expressions", len(re.findall(r"w(\d)\1\d*", joined)), len(re.sub(r"w([0-4]+)\b", r"<\1>", joined)))
decoded = json.loads(json.dumps([{"word": w, "count": c, "parts": list(w)} for w, c in top * 3]))
print("json", sum(item["count"] for item in decoded), max(item["word"] for item in decoded))
