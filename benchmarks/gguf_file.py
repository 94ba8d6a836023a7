"""Write a model as a GGUF file and see whether llama.cpp runs it: it may crash, so in a process of its own.

python benchmarks/gguf_file.py FOLDER KIND    # writes FOLDER/KIND.gguf; status 0 when llama.cpp runs it
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from autoagent.models.gguf_file import write_gguf


def load_gguf(path: Path, **settings: Any) -> Any:
    """The model in llama-cpp-python, on one thread."""
    import llama_cpp

    usual: dict[str, Any] = {"n_ctx": 8192, "n_threads": 1, "n_threads_batch": 1, "verbose": False}
    return llama_cpp.Llama(str(path), **(usual | settings))


if __name__ == "__main__":
    folder, kind = Path(sys.argv[1]), sys.argv[2]
    write_gguf(folder, folder / f"{kind}.gguf", kind)  # type: ignore[arg-type]
    load_gguf(folder / f"{kind}.gguf").eval(list(range(600)))
