"""How well and how fast long-term memory finds things, beside BM25 and TF-IDF, in one run.

    python benchmarks/memory.py --data DIR [--model DIR] [--sizes 1000,10000,100000] [--markdown FILE]

Quality: the training questions of a set are the memory, its test questions the queries; what has the same
intent is right. ``--data`` holds ``clinc150/data_full.json`` and ``banking77/{train,test}.csv``; without it
generated questions are used, which only show that everything runs. The peers are those of the extra
``bench``; ``--model`` adds a folder of sentence-transformers.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from autoagent.memory import Chunk, Entry, open_memory, recall_block
from autoagent.memory.embedder import Embedder, GramEmbedder
from autoagent.memory.protocol import Recalled
from autoagent.memory.ranking import Shelf, _first
from autoagent.memory.sentences import SentenceEmbedder
from autoagent.memory.volatile import VolatileMemory

Pair = tuple[str, str]  # text, intent
Ranker = Callable[[str], Sequence[int]]  # a query's best texts, best first, as numbers
DEPTH = 50  # places looked at for the mean reciprocal rank
STORE = 100  # memories in the measurement of automatic recall

_THINGS = (
    "card loan account transfer invoice refund ticket flight hotel alarm recipe song parcel password".split()
)
_ACTS = "cancel open close find change pay book check order return".split()
_FORMS = ("how do I {a} my {t}", "please {a} the {t}", "I want to {a} a {t} today", "can you {a} {t}s for me")


def clinc150(data: Path) -> tuple[list[Pair], list[Pair]]:
    parts = json.loads((data / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    return [tuple(pair) for pair in parts["train"]], [tuple(pair) for pair in parts["test"]]


def banking77(data: Path) -> tuple[list[Pair], list[Pair]]:
    def read(name: str) -> list[Pair]:
        with (data / "banking77" / name).open(encoding="utf-8", newline="") as file:
            return [(row["text"], row["category"]) for row in csv.DictReader(file)]

    return read("train.csv"), read("test.csv")


def generated(_: Path) -> tuple[list[Pair], list[Pair]]:
    every = [(form.format(a=act, t=thing), thing) for act in _ACTS for thing in _THINGS for form in _FORMS]
    random.Random(0).shuffle(every)
    return every[::2], every[1::2]


# --- rankers ---------------------------------------------------------------------------------------------


def ours(texts: Sequence[str], embedder: Embedder) -> dict[str, Ranker]:
    """The parts of our ranking and the whole, exact, from the code that a memory runs."""
    vectors = embedder.embed(texts)
    shelf = Shelf()
    for number, text in enumerate(texts):
        shelf.put(Entry(str(number), text, "semantic", "", "", number))

    def dense(query: str) -> Sequence[int]:
        cosines = vectors @ embedder.embed([query])[0]
        return list(_first(np.arange(len(texts)), cosines, DEPTH))

    def lexical(query: str) -> Sequence[int]:
        return list(_first(np.arange(len(texts)), shelf.lexical.scores(query), DEPTH))

    def fused(query: str) -> Sequence[int]:
        cosines = vectors @ embedder.embed([query])[0]
        nearest = list(_first(np.arange(len(texts)), cosines, 2 * DEPTH))
        similar = {str(n): float(cosines[n]) for n in nearest}
        return [int(id) for id, _, _ in shelf.fused(query, similar, DEPTH, "")[:DEPTH]]

    name = embedder.name
    return {f"ours: {name} alone": dense, "ours: words alone": lexical, f"ours: {name} + words": fused}


def peers(texts: Sequence[str]) -> Iterator[tuple[str, Ranker]]:
    """BM25 and TF-IDF of others, as they come; those that are not installed are named."""
    try:
        import bm25s
    except ImportError:
        print("bm25s is not installed: pip install -e '.[bench]'")
    else:
        index = bm25s.BM25()
        index.index(bm25s.tokenize(list(texts), stopwords=None, show_progress=False), show_progress=False)

        def bm25(query: str) -> Sequence[int]:
            tokens = bm25s.tokenize([query], stopwords=None, show_progress=False)
            return index.retrieve(tokens, k=min(DEPTH, len(texts)), show_progress=False)[0][0].tolist()

        yield f"bm25s {importlib.metadata.version('bm25s')}", bm25
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError:
        print("scikit-learn is not installed: pip install -e '.[bench]'")
        return
    for analyzer, grams in (("word", (1, 1)), ("char_wb", (3, 5))):
        vectorizer = TfidfVectorizer(analyzer=analyzer, ngram_range=grams)
        matrix = vectorizer.fit_transform(texts)

        def tfidf(query: str, vectorizer=vectorizer, matrix=matrix) -> Sequence[int]:  # type: ignore[no-untyped-def]
            scores = (matrix @ vectorizer.transform([query]).T).toarray()[:, 0]
            return list(_first(np.arange(len(texts)), scores, DEPTH))

        yield f"TF-IDF {analyzer}, scikit-learn {importlib.metadata.version('scikit-learn')}", tfidf


def quality(train: list[Pair], test: list[Pair], rank: Ranker) -> tuple[float, float, float, float]:
    """Recall@1, recall@5, mean reciprocal rank, milliseconds a query."""
    places = []
    start = time.perf_counter()
    for query, intent in test:
        right = (n for n, number in enumerate(rank(query), start=1) if train[number][1] == intent)
        places.append(next(right, 0))
    spent = (time.perf_counter() - start) / len(test) * 1_000
    found = np.array(places, dtype=float)
    reciprocal = np.divide(1, found, out=np.zeros_like(found), where=found > 0)
    return (
        float(np.mean(found == 1)),
        float(np.mean((found > 0) & (found <= 5))),
        float(reciprocal.mean()),
        spent,
    )


# --- automatic recall ------------------------------------------------------------------------------------


def automatic(train: list[Pair], test: list[Pair], others: list[Pair], queries: int) -> list[float]:
    """How often something is recalled unasked among 100 memories: right, wrong of the same sort, unrelated.

    Right: three memories have the query's intent, and at least one of them is recalled. Wrong: none has it,
    but all are of the same set. Unrelated: all are of another set.
    """
    draw = random.Random(0)
    counts = [0, 0, 0]
    for query, intent in draw.sample(test, queries):
        near = [text for text, theirs in train if theirs == intent]
        wrong = [text for text, _ in draw.sample([pair for pair in train if pair[1] != intent], STORE)]
        right = draw.sample(near, min(3, len(near)))
        shown = _unasked([*right, *wrong[len(right) :]], query)
        counts[0] += any(each.text in right for each in shown)
        counts[1] += bool(_unasked(wrong, query))
        counts[2] += bool(_unasked([text for text, _ in draw.sample(others, STORE)], query))
    return [count / queries for count in counts]


def _unasked(texts: Sequence[str], query: str) -> list[Recalled]:
    memory = VolatileMemory()
    for text in texts:
        memory.add(text)
    return recall_block(memory, query)


# --- speed -----------------------------------------------------------------------------------------------


def speed(texts: list[str], size: int, queries: list[str]) -> list[str]:
    """One row: bulk adding, single adds, opening cold and saved, recalls; all on disk."""
    draw = random.Random(0)
    many = [f"{draw.choice(texts)} {draw.choice(texts)} {n}" for n in range(size)]
    with tempfile.TemporaryDirectory() as folder:
        memory = open_memory(folder)
        start = time.perf_counter()
        for first in range(0, size, 5_000):
            part = many[first : first + 5_000]
            memory.replace(f"{first}.txt", [Chunk(text, n, n) for n, text in enumerate(part, start=1)])
        bulk = size / (time.perf_counter() - start)
        adds = [_seconds(lambda query=query: memory.add(f"new: {query}")) for query in queries[:50]]
        _seconds(memory.close)
        start = time.perf_counter()
        memory = open_memory(folder)
        warm = time.perf_counter() - start
        recalls = [_seconds(lambda query=query: memory.recall(query, 5)) for query in queries]
        memory.close()
        (Path(folder) / "memory" / "words.npz").unlink()
        start = time.perf_counter()
        memory = open_memory(folder)
        cold = time.perf_counter() - start
        megabytes = memory.about()["bytes"] / 1e6
        memory.close()
    return [
        f"{size:,}",
        f"{bulk:,.0f}",
        *_spread(adds),
        *_spread(recalls),
        f"{warm:.2f}",
        f"{cold:.2f}",
        f"{megabytes:,.0f}",
    ]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _spread(seconds: list[float]) -> list[str]:
    return [f"{np.percentile(seconds, share) * 1_000:.1f}" for share in (50, 95)]


# --- report ----------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with clinc150/ and banking77/")
    parser.add_argument("--model", type=Path, help="folder of sentence-transformers, measured, too")
    parser.add_argument("--sizes", default="1000,10000,100000", help="entries, for the speed; empty for none")
    parser.add_argument(
        "--limit",
        type=int,
        default=0,
        help="test questions of each set, drawn with a fixed seed; 0 takes all",
    )
    parser.add_argument("--markdown", type=Path, help="write the tables to this file, too")
    given = parser.parse_args(arguments)
    sets = {"clinc150": clinc150, "banking77": banking77} if given.data else {"generated": generated}
    loaded = {name: load(given.data) for name, load in sets.items()}
    parts = [f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n"]
    for name, (train, test) in loaded.items():
        random.Random(0).shuffle(test)  # the files go by intent
        test = test[: given.limit] if given.limit else test
        texts = [text for text, _ in train]
        rankers = [*ours(texts, GramEmbedder()).items(), *peers(texts)]
        if given.model:
            rankers += [
                (key, rank)
                for key, rank in ours(texts, SentenceEmbedder(given.model)).items()
                if "words alone" not in key
            ]
        rows = []
        for key, rank in rankers:
            one, five, reciprocal, spent = quality(train, test, rank)
            rows.append([key, f"{one:.1%}", f"{five:.1%}", f"{reciprocal:.3f}", f"{spent:.1f}"])
            print(name, *rows[-1], flush=True)
        head = [
            f"{name}: {len(train):,} memories, {len(test):,} queries",
            "recall@1",
            "recall@5",
            "MRR",
            "ms a query",
        ]
        parts.append(table(head, rows))
    rows = []
    for name, (train, test) in loaded.items():
        others = next(
            (pairs for other, (pairs, _) in loaded.items() if other != name),
            [(f"{t} {n}", "") for n, t in enumerate(_THINGS * 9)],
        )
        rows.append(
            [
                name,
                *(f"{share:.1%}" for share in automatic(train, test, others, min(given.limit or 500, 500))),
            ]
        )
    parts.append(table(["recalled unasked", "right", "same set, no right one there", "another set"], rows))
    sizes = [int(size) for size in given.sizes.split(",") if size]
    train, test = next(iter(loaded.values()))
    queries = [query for query, _ in test[:200]]
    rows = [speed([text for text, _ in train], size, queries) for size in sizes]
    head = [
        "entries",
        "bulk adds/s",
        "add ms median",
        "p95",
        "recall ms median",
        "p95",
        "opening s",
        "without words.npz",
        "MB",
    ]
    parts += [table(head, rows)] if rows else []
    print("\n" + "\n".join(parts))
    if given.markdown:
        given.markdown.write_text("\n".join(parts), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
